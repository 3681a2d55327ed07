"""A process that keeps runs until it cannot, and says which were acknowledged: `recorder PATH [MAX_FILE_BYTES]`."""

from __future__ import annotations

import asyncio
import ctypes
import resource
import sys
from pathlib import Path

from programs.errors import StoreError
from store import StateSettings, Store
from tests.store.samples import a_run, finished, said


def obey_file_modes() -> None:
    """Give up what lets root write where the mode forbids it (Linux' CAP_DAC_OVERRIDE)."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, twice
    libc = ctypes.CDLL(None, use_errno=True)
    libc.capget(header, sets)
    sets[0] &= ~(1 << 1)
    assert libc.capset(header, sets) == 0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def record_until_it_fails(path: Path) -> None:
    try:
        async with await Store.open(StateSettings(sqlite_path=path)) as store:
            for number in range(1_000_000):
                name = f"run_{number}"
                await store.record(a_run(name, said("Be brief.", name, "x" * 2000)), finished(f"answer {number}"))
                say(name)
    except StoreError as error:
        say(f"StoreError: {error}")


if __name__ == "__main__":
    if sys.platform == "linux":
        obey_file_modes()
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    asyncio.run(record_until_it_fails(Path(sys.argv[1])))
