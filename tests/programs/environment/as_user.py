"""Runs some of these tests as another user. Needs root, to stop being it; run as a script, in a process of its own.

    as_user.py (with|without) PYTEST ARGUMENTS...

The user has no capabilities. `without` also takes namespaces away, as most containers do: a process in a changed root
may not make a user namespace.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
USER = 54321


def run_as_user(namespaces: str, *arguments: str) -> None:
    """Run pytest as that user, in a process of its own, and see that everything passes."""
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, __file__, namespaces, *arguments],
        cwd=root,
        env={**os.environ, "EXPECTED_NAMESPACES": namespaces, "EXPECTED_USER": str(USER)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), None):
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}")


def open_the_way_to(folder: Path) -> None:
    """Make `folder` reachable for everybody, in this process's mount namespace alone."""
    for closed in folder.parents:
        if not closed.stat().st_mode & 1:
            with tempfile.TemporaryDirectory() as aside:
                _mount(str(folder), aside, None, _MS_BIND | _MS_REC)
                _mount("tmpfs", str(closed), "tmpfs", 0)
                closed.chmod(0o755)
                folder.mkdir(parents=True)
                _mount(aside, str(folder), None, _MS_BIND | _MS_REC)
                subprocess.run(["umount", "-l", aside], check=True)
            return


def main() -> None:
    namespaces, *arguments = sys.argv[1:]
    os.unshare(os.CLONE_NEWNS)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    open_the_way_to(Path(sys.base_prefix))
    here = Path.cwd()
    home = tempfile.mkdtemp()
    os.chown(home, USER, USER)
    if namespaces == "without":
        root = tempfile.mkdtemp()
        _mount("/", root, None, _MS_BIND | _MS_REC)
        os.chroot(root)
        os.chdir(here)
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.environ.update(HOME=home, PYTHONDONTWRITEBYTECODE="1")
    os.execv(sys.executable, [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments])


if __name__ == "__main__":
    main()
