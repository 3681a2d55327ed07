"""The jail holds for a user without any capability, with namespaces and without."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.programs.environment.as_user import run_as_user

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests already run as a user")
@pytest.mark.parametrize("namespaces", ["with", "without"])
def test_the_jail_holds_for_a_plain_user(namespaces: str) -> None:
    run_as_user(namespaces, *(str(HERE / name) for name in ("test_attacks.py", "test_jail.py", "test_session.py")))
