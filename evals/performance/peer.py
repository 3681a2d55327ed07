"""The peers as the measurements see them: processes that are asked and answer. See `evals.peers.speak`."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

RLMS_PACKAGE = "rlms==0.1.3"
"""What the peer `rlms` requires."""

_SPEAK = Path(__file__).parent.parent / "peers" / "speak.py"
_START_SECONDS = 120.0
_ANSWER_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LONGEST_LINE = 32 << 20  # bytes
_HARMLESS = re.compile(r"PATH|HOME|LANG|TMPDIR|XDG_\w+|UV_\w+|SSL_CERT_\w+|\w+_proxy", re.IGNORECASE)


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

    async def hold(self, text: str) -> None:
        """Have `text` for the context of all that is asked from now on.

        Raises:
            PeerFailed: it ended.
        """
        await self._order({"text": text})
        self.context = len(text)

    async def ask(self, questions: Sequence[str], *, within: float = _ANSWER_SECONDS) -> Ran:
        """Have a session for each of `questions`, all at once.

        Raises:
            PeerFailed: a session failed, or they took over `within` seconds.
        """
        told = await self._order({"questions": list(questions)}, within)
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
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once, and what it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def _order(self, order: dict[str, Any], within: float = _ANSWER_SECONDS) -> dict[str, Any]:
        assert self._process.stdin is not None
        with suppress(ConnectionError):  # then it has ended, and has nothing to tell either
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
        return await self._told(within)

    async def _told(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            self.kill()
            raise PeerFailed(f"no answer within {within:g} seconds") from None
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise PeerFailed(f"it ended: {said[-1].strip() if said else 'it did not say why'}")
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def peer(
    name: str, module: str, base_url: str, *options: str, requires: str | None = None
) -> AsyncGenerator[Peer]:
    """Start the peer that `module` of `evals.peers` is, and end it afterwards.

    Args:
        name: in the table.
        module: without the package.
        base_url: of the LM.
        options: more that the module's `start` takes.
        requires: the package that it needs, exactly. It is then run by uv in an environment with that package alone,
            where nothing of ours is, no key either; None runs it in ours.

    Raises:
        PeerFailed: it does not start.
    """
    command = [sys.executable]
    environment = None
    if requires is not None:
        uv = shutil.which("uv") or os.environ.get("UV")
        if uv is None:
            raise PeerFailed("it is run by uv, which is not on the PATH")
        command = [uv, "run", "--no-project", "--isolated", "--python", sys.executable, "--with", requires, "python"]
        environment = {name: value for name, value in os.environ.items() if _HARMLESS.fullmatch(name)}
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            str(_SPEAK),
            module,
            base_url,
            *options,
            env=environment,
            limit=_LONGEST_LINE,
            start_new_session=True,  # uv's own process ends without what it has started
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        started = Peer(name, process, errors)
        try:
            await started.ready()
            yield started
        except BaseException:
            started.kill()
            raise
        finally:
            await started.aclose()
