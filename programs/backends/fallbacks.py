"""Several backends for one role: the first that can answer does.

A backend is asked, with its own retries, when those before it have failed and nothing of their replies was given on.
Once the user has text, a failure is a failure, and no text is doubled. Where nobody listens to a reply while it is
written, nothing of it is given on before it is whole.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from dspy.lm15 import (
    ContextLengthError,
    ImagePart,
    InvalidRequestError,
    LM15Error,
    RateLimitError,
    Request,
    Response,
    ServerError,
    StreamAssemblyError,
    StreamDeltaEvent,
    StreamEndEvent,
    TextPart,
    ThinkingDelta,
    ToolResultPart,
    TransportError,
    UnsupportedModelError,
)
from dspy.lm15 import TimeoutError as LM15TimeoutError

from programs.backends.engine import AsyncEngine, StreamEvent, is_heard
from programs.backends.failures import said
from programs.backends.guarded import Guarded
from programs.transcript import estimate_tokens

_MAY_PASS = (TransportError, LM15TimeoutError, ServerError, StreamAssemblyError, RateLimitError)
_IMAGE_TOKENS = 1500
_SHOWN = 300  # characters of each failure, where there are several


class Fallbacks(AsyncEngine):
    """The backends of one role, in the order in which they are asked. There is at least one."""

    def __init__(self, backends: Sequence[Guarded]) -> None:
        self.backends = tuple(backends)
        self.window = self.backends[0].window

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`. Nothing is yielded before the first text: also a failure after thinking is no loss.

        Raises:
            lm15.LM15Error: all have failed; or the first has refused the request, or the one that had begun has failed.
        """
        tries = _Tries(self.backends, request)
        for backend in tries:
            held: list[StreamEvent] | None = []
            try:
                async with aclosing(backend.stream(_for(backend, request))) as events:
                    async for event in events:
                        if held is None:
                            yield event
                            continue
                        held.append(event)
                        if _is_given(event):
                            for one in held:
                                yield one
                            held = None
                return
            except LM15Error as error:
                if held is None:
                    raise
                tries.failed(error)
        raise tries.failure()

    async def complete(self, request: Request) -> Response:
        """See `AsyncEngine.complete`."""
        if is_heard():
            return await super().complete(request)
        tries = _Tries(self.backends, request)
        for backend in tries:
            try:
                return await backend.complete(_for(backend, request))
            except LM15Error as error:
                tries.failed(error)
        raise tries.failure()

    async def reach(self, within: float) -> None:
        """See `AsyncEngine.reach`: whether the first is there.

        Raises:
            lm15.LM15Error: why it cannot be used.
        """
        await self.backends[0].reach(within)

    async def aclose(self) -> None:
        """See `AsyncEngine.aclose`."""
        for backend in self.backends:
            await backend.aclose()


class _Tries:
    """Whom to ask next, and what came of those before."""

    def __init__(self, backends: Sequence[Guarded], request: Request) -> None:
        self._backends = backends
        self._request = request
        self._failures: list[LM15Error] = []

    def __iter__(self) -> Iterator[Guarded]:
        for backend in self._backends:
            first = self._backends[0].entry.capabilities
            if self._failures and (unfit := _unfit(backend, self._request, first)) is not None:
                self._failures.append(unfit)
            else:
                yield backend

    def failed(self, error: LM15Error) -> None:
        """Take note that the backend that was asked last has failed.

        Raises:
            lm15.LM15Error: the error, where the request is at fault: the first backend decides what can be asked.
        """
        wrong = isinstance(error, (InvalidRequestError, ContextLengthError))
        if not self._failures and wrong and not isinstance(error, UnsupportedModelError):
            raise error
        self._failures.append(error)

    def failure(self) -> LM15Error:
        """What the caller is told: all that was said, as the last failure that may pass."""
        last = next((error for error in reversed(self._failures) if isinstance(error, _MAY_PASS)), self._failures[-1])
        first, *others = (said(error)[:_SHOWN] for error in self._failures)
        told = [first, *(f"fallback {number}: {why}" for number, why in enumerate(others, 1))]
        waits = [error.retry_after for error in self._failures if error.retry_after is not None]
        return type(last)(
            "; ".join(told), provider=last.provider, status=last.status, retry_after=min(waits, default=None)
        )


def _is_given(event: StreamEvent) -> bool:
    """Whether the user may have something of an event: no start, and no thinking."""
    if isinstance(event, StreamDeltaEvent):
        return not isinstance(event.delta, ThinkingDelta)
    return isinstance(event, StreamEndEvent)


def _for(backend: Guarded, request: Request) -> Request:
    """The request as this backend can answer it. Who asks how likely tokens are can do without."""
    if request.config.logprobs is None or "logprobs" in backend.entry.capabilities:
        return request
    return replace(request, config=replace(request.config, logprobs=None))


def _unfit(backend: Guarded, request: Request, first: Collection[str]) -> LM15Error | None:
    """Why a fallback need not be asked, by what is configured; what that does not tell, it will refuse by itself.

    Args:
        backend: the fallback.
        request: what it would be asked.
        first: what the backend can do whose fallback it is.
    """
    needed = {"json_schema"} if request.config.response_format is not None else set[str]()
    if any(isinstance(part, ImagePart) for message in request.messages for part in message.parts):
        needed.add("vision")
    for capability in sorted(needed & set(first) - set(backend.entry.capabilities)):
        return InvalidRequestError(f"it has not the capability {capability}")
    if backend.window is not None and (size := size_of(request)) > backend.window:
        return ContextLengthError(f"its window holds {backend.window} tokens, and the prompt has about {size}")
    return None


def size_of(request: Request) -> int:
    """About how many tokens a prompt has."""
    size = estimate_tokens(request.system) if isinstance(request.system, str) else 0
    for message in request.messages:
        for part in message.parts:
            inner = part.content if isinstance(part, ToolResultPart) else (part,)
            size += sum(estimate_tokens(one.text) for one in inner if isinstance(one, TextPart))
            size += _IMAGE_TOKENS * isinstance(part, ImagePart)
    return size
