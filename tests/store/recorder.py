"""A process that keeps runs until it cannot, saying which ones were acknowledged: `recorder PATH [MAX_FILE_BYTES]`."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

from programs.errors import StoreError
from store import StateSettings, Store
from tests.store.samples import a_run, finished, said


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def record_until_it_fails(path: Path) -> None:
    try:
        async with await Store.open(StateSettings(sqlite_path=path, busy_timeout_seconds=5)) as store:
            for number in range(1_000_000):
                name = f"run_{number}"
                await store.record(a_run(name, said("Be brief.", name, "x" * 2000)), finished(f"answer {number}"))
                say(name)
    except StoreError as error:
        say(f"StoreError: {error}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    asyncio.run(record_until_it_fails(Path(sys.argv[1])))
