"""The jail holds for a user without any capability, with namespaces and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests already run as a user")
@pytest.mark.parametrize("namespaces", ["with", "without"])
def test_the_jail_holds_for_a_plain_user(namespaces: str) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            str(HERE / "as_user.py"),
            namespaces,
            str(HERE / "test_attacks.py"),
            str(HERE / "test_jail.py"),
            str(HERE / "test_session.py"),
        ],
        cwd=ROOT,
        env={**os.environ, "EXPECTED_NAMESPACES": namespaces, "EXPECTED_USER": "54321"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
