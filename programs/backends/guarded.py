"""An engine behind its breaker. What its failed tries have cost is told to whoever pays."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from dspy.lm15 import LM15Error, Request, StreamDeltaEvent, ToolCallDelta

from programs.backends.breaker import Breaker
from programs.backends.engine import AsyncEngine, StreamEvent, terms
from programs.settings import ModelSettings, ResilienceSettings
from programs.transcript import BYTES_PER_TOKEN


class Guarded(AsyncEngine):
    """One backend. Roles that share it share its breaker.

    Args:
        engine: asks the model.
        entry: what is configured.
        resilience: when the breaker opens.
    """

    def __init__(self, name: str, engine: AsyncEngine, entry: ModelSettings, resilience: ResilienceSettings) -> None:
        self._engine = engine
        self.entry = entry
        self.breaker = Breaker(f"{name} ({entry.model})" if entry.model else name, resilience)
        self.window = engine.window

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`.

        Raises:
            lm15.ServerError: the breaker is open.
            lm15.LM15Error: the engine's own.
        """
        call = self.breaker.admit()
        written = 0
        try:
            async with aclosing(self._engine.stream(request)) as events:
                async for event in events:
                    if isinstance(event, StreamDeltaEvent):
                        if not written:
                            self.breaker.begun(call)
                        written += length(event)
                    yield event
            self.breaker.answered(call)
        except GeneratorExit:
            self.breaker.answered(call)  # who listens has heard enough
            raise
        except LM15Error as error:
            if written:
                terms().lost(-(-written // BYTES_PER_TOKEN))
            self.breaker.failed(call, error)
            raise
        finally:
            self.breaker.leave(call)

    async def reach(self, within: float) -> None:
        """See `AsyncEngine.reach`. While the breaker is open nothing is asked; when its time is over this may close it.

        Raises:
            lm15.ServerError: the breaker is open.
            lm15.LM15Error: why it cannot be used.
        """
        if self.breaker.state == "closed":
            await self._engine.reach(within)  # to be slow to list its models is no failure to answer
            return
        call = self.breaker.admit()
        try:
            await self._engine.reach(within)
            self.breaker.begun(call)
        except LM15Error as error:
            self.breaker.failed(call, error)
            raise
        finally:
            self.breaker.leave(call)

    async def aclose(self) -> None:
        """See `AsyncEngine.aclose`."""
        await self._engine.aclose()


def length(event: StreamDeltaEvent) -> int:
    """How many characters came with a delta."""
    return len(event.delta.input if isinstance(event.delta, ToolCallDelta) else getattr(event.delta, "text", ""))
