"""What an evaluation's cell costs: every model call of it, whichever strategy makes them, counted in one place."""

from __future__ import annotations

import math
import threading

from dspy.lm15 import Request, Response

from evals.around import Around
from programs.adapter import text_of, usage_of
from programs.backends import AsyncEngine, calling
from programs.backends.engine import terms
from programs.backends.fallbacks import size_of
from programs.transcript import Usage, estimate_tokens


class Meter:
    """Counts the calls of the engines that are put into it. Calls may come from several threads.

    Attributes:
        usage: tokens of all replies; estimated where the backend told none. Of calls that failed or were cut off, what
            their lost tries had written.
        model_calls: that were made, those that failed too.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        self.model_calls = 0
        self._lock = threading.Lock()

    def around(self, engine: AsyncEngine) -> AsyncEngine:
        """The same engine, whose calls are counted here. See `Backends.through`."""
        return _Metered(engine, self)

    def begin(self) -> None:
        """Count a call."""
        with self._lock:
            self.model_calls += 1

    def spend(self, usage: Usage) -> None:
        """Add what a call has cost."""
        with self._lock:
            self.usage += usage


class _Metered(Around):
    def __init__(self, engine: AsyncEngine, meter: Meter) -> None:
        super().__init__(engine)
        self._meter = meter

    async def complete(self, request: Request) -> Response:
        size, outer = size_of(request), terms().lost

        def lost(written: int) -> None:
            self._meter.spend(Usage(prompt=size, completion=written, estimated=True))
            outer(written)

        self._meter.begin()
        with calling(within=math.inf, lost=lost):
            response = await self.engine.complete(request)
        self._meter.spend(cost(request, response))
        return response


def cost(request: Request, response: Response) -> Usage:
    """What a call has cost: as the backend told it, else about."""
    told = usage_of(response)
    return told or Usage(prompt=size_of(request), completion=estimate_tokens(text_of(response)), estimated=True)
