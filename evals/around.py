"""An engine around another: what all those have in common that look at calls, keep them, or bound them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

from dspy.lm15 import (
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
)

from evals.replies import arguments
from programs.backends import AsyncEngine
from programs.backends.engine import StreamEvent


class Around(AsyncEngine):
    """Passes each call on. What is done about a call is done in `complete`, which is what a `dspy.LM` calls.

    Args:
        engine: is asked. Whoever made it closes it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.window = engine.window

    async def complete(self, request: Request) -> Response:
        """See `AsyncEngine.complete`."""
        return await self.engine.complete(request)

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`. The reply comes at once, when it is whole."""
        for event in events_of(await self.complete(request)):
            yield event

    async def reach(self, within: float) -> None:
        """See `AsyncEngine.reach`."""
        await self.engine.reach(within)

    async def aclose(self) -> None:
        """Nothing: see `engine`."""


def events_of(response: Response) -> Iterator[StreamEvent]:
    """A reply that is there, as a stream: each part is one delta."""
    yield StreamStartEvent(id=response.id, model=response.model)
    logprobs = response.logprobs or ()
    for index, part in enumerate(response.message.parts):
        match part:
            case ThinkingPart(text=text):
                yield StreamDeltaEvent(delta=ThinkingDelta(text=text))
            case TextPart(text=text):
                yield StreamDeltaEvent(delta=TextDelta(text=text, logprobs=logprobs))
                logprobs = ()
            case ToolCallPart():
                written = arguments(part)
                yield StreamDeltaEvent(delta=ToolCallDelta(input=written, part_index=index, id=part.id, name=part.name))
    yield StreamEndEvent(finish_reason=response.finish_reason, usage=response.usage)
