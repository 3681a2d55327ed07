"""Commands stay in their workspace for a user without any capability, with namespaces and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="these tests already run as a user")
@pytest.mark.parametrize("namespaces", ["with", "without"])
def test_commands_of_a_plain_user_stay_in_their_workspace(namespaces: str) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests/programs/environment/as_user.py"),
            *(namespaces, "-m", "slow or not slow"),
            str(ROOT / "tests/programs/tools/test_bash_attacks.py"),
            str(ROOT / "tests/programs/tools/test_bash.py"),
        ],
        cwd=ROOT,
        env={**os.environ, "EXPECTED_NAMESPACES": namespaces, "EXPECTED_USER": "54321"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
