"""Commands stay in their workspace for a user without any capability, with namespaces and without."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.programs.environment.as_user import run_as_user

HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="these tests already run as a user")
@pytest.mark.parametrize("namespaces", ["with", "without"])
def test_commands_of_a_plain_user_stay_in_their_workspace(namespaces: str) -> None:
    files = [str(HERE / name) for name in ("test_bash_attacks.py", "test_bash.py")]
    run_as_user(namespaces, "-m", "slow or not slow", *files)
