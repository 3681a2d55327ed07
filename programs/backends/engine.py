"""What every backend is: an engine that streams replies, worn by `dspy.LM` (https://dspy.ai, engines of the LM layer).

An engine implements one method, `stream`. `complete`, which is what `dspy.LM` calls, folds that stream and reports each
event to whoever is `listening`, so that text reaches the user while the reply is still being written.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from dspy.lm15 import (
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

from programs.backends.calls import Calls

type StreamEvent = StreamStartEvent | StreamDeltaEvent | StreamEndEvent
type Listener = Callable[[StreamEvent], bool]
type Run = Callable[[Coroutine[object, object, Any]], Any]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Generator[None]:
    """Have `listener` called with each event of the model calls made inside, as it arrives.

    Where it answers True, what has been written is enough: the call is cut off, and the reply ends there.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def told(event: StreamEvent) -> bool:
    """Tell an event to whoever is `listening`; whether that is enough, and the reply ends there."""
    listener = _listener.get()
    return listener is not None and listener(event)


def is_heard() -> bool:
    """Whether somebody is `listening`."""
    return _listener.get() is not None


@dataclass(frozen=True, slots=True)
class Terms:
    """What who calls a model can bear.

    Attributes:
        deadline: by `time.monotonic()`; no retry waits beyond it.
        lost: is told how many tokens a try had written that failed.
    """

    deadline: float = math.inf
    lost: Callable[[int], None] = lambda _: None


_terms: ContextVar[Terms] = ContextVar("terms", default=Terms())  # noqa: B039 - it is frozen


def terms() -> Terms:
    """Those of the model call that is being made."""
    return _terms.get()


@contextmanager
def calling(*, within: float, lost: Callable[[int], None] | None = None) -> Generator[None]:
    """Have the model calls made inside know how many seconds there are, at most, and whom to tell of lost tries."""
    outer = _terms.get()
    deadline = min(outer.deadline, time.monotonic() + within)
    token = _terms.set(Terms(deadline, lost or outer.lost))
    try:
        yield
    finally:
        _terms.reset(token)


class AsyncEngine(ABC):
    """One backend. Errors are `dspy.lm15` errors, so that any DSPy program understands them.

    Attributes:
        window: tokens of prompt and reply together; None where nobody said.
    """

    window: int | None = None

    @abstractmethod
    def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """Yield one start event, the deltas, and one end event. Closing the generator cancels the call."""

    async def complete(self, request: Request) -> Response:
        """The whole reply. What is cancelled here is cancelled at the backend."""
        text: list[str] = []
        thinking: list[str] = []
        logprobs: list[TokenLogprob] = []
        calls = Calls()
        start, end = StreamStartEvent(), StreamEndEvent(finish_reason="stop")
        async with aclosing(self.stream(request)) as events:
            async for event in events:
                enough = told(event)
                match event:
                    case StreamDeltaEvent(delta=TextDelta(text=piece, logprobs=tokens)):
                        text.append(piece)
                        logprobs += tokens
                    case StreamDeltaEvent(delta=ThinkingDelta(text=piece)):
                        thinking.append(piece)
                    case StreamDeltaEvent(delta=ToolCallDelta() as piece):
                        calls.add(piece)
                    case StreamStartEvent():
                        start = event
                    case StreamEndEvent():
                        end = event
                if enough:
                    break
        parts = [ThinkingPart(text="".join(thinking))] if thinking else []
        return Response(
            id=start.id,
            model=start.model or request.model,
            message=Message(role="assistant", parts=(*parts, TextPart(text="".join(text)), *calls.parts())),
            finish_reason=end.finish_reason or "stop",
            usage=end.usage or Usage(),
            logprobs=tuple(logprobs) or None,
        )

    @abstractmethod
    async def reach(self, within: float) -> None:
        """See whether the model is there; ask a server for at most `within` seconds.

        Raises:
            lm15.LM15Error: why it cannot be used.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of connections and threads. The engine is not used afterwards."""


@cache
def _background_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rants-sync", daemon=True).start()
    return loop


def run_sync[T](coroutine: Coroutine[object, object, T]) -> T:
    """Run `coroutine` to its end from code that is not async, also inside a notebook's running event loop."""
    return asyncio.run_coroutine_threadsafe(coroutine, _background_loop()).result()


class Engine:
    """The synchronous face that `dspy.LM` also wants.

    Args:
        engine: the same engine.
        run: drives it, for a thread that waits; by default on one background event loop.
    """

    def __init__(self, engine: AsyncEngine, run: Run = run_sync) -> None:
        self._engine = engine
        self._run = run

    def complete(self, request: Request) -> Response:
        """The whole reply, blocking this thread."""
        response: Response = self._run(self._engine.complete(request))
        return response

    def stream(self, request: Request) -> Iterator[StreamEvent]:
        """The events of the reply, blocking this thread between them."""
        events = self._engine.stream(request)
        try:
            while (event := self._run(anext(events, None))) is not None:
                yield event
        finally:
            self._run(events.aclose())
