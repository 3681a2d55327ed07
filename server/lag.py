"""How late the event loop is: the time between when something should happen and when it does."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_PERIOD = 0.25  # seconds


class Lag:
    """Looks at the running event loop four times a second, with one timer: `async with Lag() as lag`.

    Attributes:
        seconds: the smaller of the last two delays: one pause alone, such as to read a large body, is no overload.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._before = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def saw(self, late: float) -> None:
        """The last delay was `late` seconds."""
        self.seconds = min(late, self._before)
        self._before = late

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _PERIOD

        def look() -> None:
            self.saw(max(0.0, loop.time() - due))
            self._wait()

        self._timer = loop.call_at(due, look)
