"""The helpers for an environment whose Python cannot run them, and the search tools: in a CPython process beside us.

Not in the server itself: a regular expression of the model's may take for ever, and while it runs nothing else in its
process does. This one is ended, and started again for the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import marshal
import sys
from pathlib import Path
from typing import Any

HELPERS = ("peek", "grep", "search", "chunks")

_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside import reading; reading.main(int(sys.argv[2]))"
_BASE_MEMORY = 128 << 20  # an interpreter, mapped


class HelperFailed(Exception):
    """A helper raised `name`, saying `message`."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


class Reader:
    """Runs the helpers of one session, or one search in files, one call at a time. Its process starts with the first.

    Args:
        memory: bytes that the process may use.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._process: asyncio.subprocess.Process | None = None
        self._held: list[Any] = []

    async def call(self, name: str, context: Any, values: list[Any], fields: dict[str, Any]) -> Any:
        """What the helper `name` says about `context`. Cancelled, it ends the process.

        Raises:
            HelperFailed: the helper raised, or its process ended.
        """
        new = None if self._process is not None and self._held == [context] else [context]
        process = self._process = self._process or await self._start()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(await asyncio.to_thread(marshal.dumps, (name, new, values, fields)))
            self._held = [context]
            await process.stdin.drain()
            size = int.from_bytes(await process.stdout.readexactly(8))
            body = await process.stdout.readexactly(size)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.aclose()
            raise HelperFailed("MemoryError", f"{name} took too much memory") from None
        except BaseException:
            await self.aclose()
            raise
        value, failed = await asyncio.to_thread(marshal.loads, body)
        if failed is not None:
            raise HelperFailed(*failed)
        return value

    async def aclose(self) -> None:
        """End the process. Idempotent."""
        process, self._process = self._process, None
        self._held = []
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-B", "-c", _BOOT, str(Path(__file__).parent), str(_BASE_MEMORY + self._memory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is the server's to handle
        )
