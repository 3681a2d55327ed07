"""`BackendLM`: a `dspy.LM` over one of our engines, that takes the short way where nobody in dspy looks on."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.clients.errors import error_boundary
from dspy.lm15 import Request

from programs.backends.engine import AsyncEngine, Engine


class BackendLM(dspy.LM):  # type: ignore[misc]
    """A `dspy.LM` like any other.

    dspy copies and checks each request, message by message, and changes threads twice, for its cache, its history and
    its prices. That costs half a millisecond a call, and grows with the conversation. An explicit `Request` goes
    straight to the engine while history is off and no callback, stream or tracker wants to see it.
    """

    def __init__(self, model: str, engine: AsyncEngine) -> None:
        super().__init__(model, engine=Engine(engine), async_engine=engine, cache=False, num_retries=0)

    @property
    def backend(self) -> AsyncEngine:
        """The engine that it calls."""
        engine: AsyncEngine = self._async_engine_spec
        return engine

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """See `dspy.LM`: for a `Request` one `dspy.lm15.Response`.

        Raises:
            LMError: the call failed.
        """
        settings = dspy.settings
        watched = settings.callbacks or self.callbacks or settings.send_stream or settings.usage_tracker
        if not isinstance(prompt, Request) or messages or kwargs or watched or not settings.disable_history:
            return await super().acall(prompt, messages=messages, **kwargs)
        with error_boundary(self.model, unexpected=True):
            return await self._async_engine_spec.complete(prompt)
