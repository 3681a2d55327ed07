"""An engine as an OpenAI `/v1`, for programs that call nothing else: their calls are then metered and kept, too."""

from __future__ import annotations

import asyncio
from typing import Any

from dspy.lm15 import ContextLengthError, LM15Error, Request

from evals.metering import cost
from evals.scripted import AsyncScript, Reply, usage
from programs.adapter import call_config, text_of
from programs.backends import AsyncEngine
from programs.backends.chat import read_message
from programs.backends.failures import said

_NO_CONFIG = {"model", "messages", "stream", "stream_options"}


def facade(engine: AsyncEngine, model: str) -> AsyncScript:
    """The script of a `ScriptedBackend` whose calls `engine` answers, on the event loop that runs now.

    A failure is a 400: the engine has its own retries, and a client need not try again.

    Args:
        engine: is asked.
        model: its name, whatever the client calls it.
    """
    loop = asyncio.get_running_loop()

    async def script(body: dict[str, Any]) -> Reply:
        request = Request(
            model=model,
            messages=tuple(map(read_message, body["messages"])),
            config=call_config({key: value for key, value in body.items() if key not in _NO_CONFIG}),
        )
        try:
            asked = asyncio.run_coroutine_threadsafe(engine.complete(request), loop)
            response = await asyncio.wrap_future(asked)
        except LM15Error as error:
            code = "context_length_exceeded" if isinstance(error, ContextLengthError) else None
            return Reply(status=400, error={"message": said(error), "code": code})
        spent = cost(request, response)
        return Reply(
            [text_of(response)],
            finish_reason=response.finish_reason,
            usage=usage(spent.prompt, spent.completion, spent.cached),
        )

    return script
