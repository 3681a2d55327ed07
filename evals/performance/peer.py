"""The peers as the measurements see them: processes that are asked and answer. See `evals.peers.speak`."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_SPEAK = Path(__file__).parent.parent / "peers" / "speak.py"
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_STOP_SECONDS = 10.0


class PeerFailed(Exception):
    """It could not be started, or did not do what it was asked. The message says what it said itself."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What sessions that were held at once came to. Times are in nanoseconds of the monotonic clock."""

    began: int
    ended: int
    answers: tuple[str, ...]


class Peer:
    """One peer, started.

    Attributes:
        name: in the table.
        pid: the process from which all others of the peer descend.
        context: characters of the context that it holds.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.name = name
        self.pid = process.pid
        self.context = 0
        self._process = process
        self._errors = errors

    async def hold_context(self, characters: int) -> None:
        """Make the context for all that is asked from now on.

        Raises:
            PeerFailed: it ended.
        """
        await self._order({"context": characters})
        self.context = characters

    async def ask(self, questions: Sequence[str]) -> Ran:
        """Have a session for each of `questions`, all at once.

        Raises:
            PeerFailed: a session failed, or they took over a minute.
        """
        told = await self._order({"questions": list(questions)})
        if failures := told["failures"]:
            raise PeerFailed(f"{len(failures)} of {len(questions)} sessions failed: {failures[0]}")
        return Ran(told["began"], told["ended"], tuple(told["answers"]))

    async def ready(self) -> None:
        """Wait until it has started.

        Raises:
            PeerFailed: it has not, within two minutes.
        """
        await self._told(_START_SECONDS)

    async def aclose(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # then it has ended, and has nothing to tell either
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
        return await self._told(_ANSWER_SECONDS)

    async def _told(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            self._process.kill()
            raise PeerFailed(f"no answer within {within:g} seconds") from None
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise PeerFailed(f"it ended: {said[-1].strip() if said else 'it did not say why'}")
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def peer(name: str, module: str, base_url: str, *, requires: str | None = None) -> AsyncGenerator[Peer]:
    """Start the peer that `module` of `evals.peers` is, and end it afterwards.

    Args:
        name: in the table.
        module: without the package.
        base_url: of the LM.
        requires: the package that it needs, exactly. It is then run by uv in an environment with that package alone,
            where nothing of ours is; None runs it in ours.

    Raises:
        PeerFailed: it does not start.
    """
    command = [sys.executable]
    if requires is not None:
        uv = shutil.which("uv") or os.environ.get("UV")
        if uv is None:
            raise PeerFailed("it is run by uv, which is not on the PATH")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        command = [uv, "run", "--no-project", "--isolated", "--python", version, "--with", requires, "python"]
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(_SPEAK),
            module,
            base_url,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        started = Peer(name, process, errors)
        try:
            await started.ready()
            yield started
        finally:
            await started.aclose()
