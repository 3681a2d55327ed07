"""Which process of which machine this is, so that others there can see that it has ended."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_PROC = Path("/proc")


def process(number: int) -> str:
    """Name a process of this machine: the machine, its number, and when it started, for numbers are used again."""
    return f"{_machine()} {number} {_started(number) or ''}".rstrip()


def has_ended(name: str) -> bool:
    """Whether the process of that name has ended. Of another machine's nobody here knows: then it has not."""
    machine, number, *started = name.split(" ")
    if machine != _machine():
        return False
    if started:
        return _started(int(number)) != started[0]
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    # On Linux since it was booted, and of one container: each has its own numbers.
    try:
        booted = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{booted}/{(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return platform.node().replace(" ", "-")


def _started(number: int) -> str | None:
    # In ticks since the machine was booted; None where there is no such process, or one that only waits to be buried.
    try:
        # The name before it may hold anything, also spaces and brackets.
        fields = (_PROC / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
