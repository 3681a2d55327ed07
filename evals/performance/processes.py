"""The servers that are measured, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_ADDRESS = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_PSS = re.compile(rb"^Pss: +(\d+) kB", re.MULTILINE)
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on a port of 127.0.0.1."""

    port: int
    pid: int

    @property
    def address(self) -> str:
        """Where it listens, without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def listens(self) -> bool:
        """Whether it takes connections."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def memory(self) -> float:
        """What it has in memory right now (its resident set), in MiB."""
        ps = await asyncio.create_subprocess_exec(
            "ps", "-o", "rss=", "-p", str(self.pid), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await ps.communicate()
        return int(said) / 1024


def processes_below(root: int) -> list[int]:
    """The process `root` and all that descend from it. Linux only."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            below[int(stat.read_text().rpartition(")")[2].split()[1])].append(int(stat.parent.name))
    found, left = [], [root]
    while left:
        process = left.pop()
        found.append(process)
        left.extend(below[process])
    return found


def tree_memory(root: int) -> int:
    """Bytes of the process `root` and all below it, where what several share is counted once (their PSS). Linux only.

    Raises:
        PermissionError: one of them is another user's.
    """
    total = 0
    for process in processes_below(root):
        with suppress(FileNotFoundError, ProcessLookupError):
            if found := _PSS.search(Path(f"/proc/{process}/smaps_rollup").read_bytes()):
                total += int(found[1]) * 1024
    return total


@asynccontextmanager
async def running(
    code: str, *arguments: str, folder: str | Path | None = None, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Server]:
    """Run `code` in a Python of its own, wait until it says where it listens, and stop it at the end.

    Args:
        code: what starts the server, as Python.
        arguments: what `code` finds in `sys.argv`, beginning at 1.
        folder: where it runs; None for here.
        environment: its variables; None for ours.

    Raises:
        RuntimeError: it ended before it listened; what it said is on standard error.
        TimeoutError: it did not listen within two minutes.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE, cwd=folder, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            async for line in process.stdout:
                if found := _ADDRESS.search(line):
                    server = Server(int(found[1]), process.pid)
                    break
            else:
                raise RuntimeError(f"{code!r} ended with {await process.wait()} and did not listen")
            # It says its address a little before.
            while not await server.listens():  # noqa: ASYNC110  (and says nothing more)
                await asyncio.sleep(0.05)
        yield server
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def rants(backend: str | None = None, variables: Mapping[str, str] | None = None) -> AsyncGenerator[Server]:
    """Run `rants serve` with its defaults and a new database.

    Args:
        backend: the `base_url` of its generator; None for the embedded model.
        variables: more `RANTS_*` variables.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RANTS_")}
    if backend is not None:
        environment["RANTS_MODELS__GENERATOR__BASE_URL"] = backend
    environment |= variables or {}
    # The folder has no config.yaml, and the database is made below it.
    with TemporaryDirectory(prefix="rants-bench-") as folder:
        serve = ("from server.cli import main; main()", "serve", "--port", "0")
        async with running(*serve, folder=folder, environment=environment) as server:
            yield server
