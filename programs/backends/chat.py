"""OpenAI's chat completions, the format both backends speak: `lm15` requests out, chunks in.

Source: https://platform.openai.com/docs/api-reference/chat (the request, and the streamed chunk object).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from dspy.lm15 import (
    ContextLengthError,
    FunctionTool,
    ImagePart,
    InvalidRequestError,
    LM15Error,
    Message,
    Request,
    ServerError,
    StreamAssemblyError,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallPart,
    ToolResultPart,
    TopLogprob,
    Usage,
)

from programs.backends.calls import tool_call
from programs.backends.engine import StreamEvent

_MOST_TOKENS = 10**12
_FINISH_REASONS = {"length": "length", "content_filter": "content_filter"}


def chat_body(request: Request, defaults: dict[str, Any]) -> dict[str, Any]:
    """The JSON body of a streamed call. `defaults` hold wherever the request says nothing."""
    config = request.config
    asked: dict[str, Any] = {
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "stop": list(config.stop) or None,
        "seed": config.seed,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "logprobs": None if config.logprobs is None else True,
        "top_logprobs": config.logprobs,
        "response_format": _response_format(config.response_format),
        "tools": [_tool(tool) for tool in request.tools if isinstance(tool, FunctionTool)] or None,
        **(config.extensions or {}),
    }
    return {
        **defaults,
        **{key: value for key, value in asked.items() if value is not None},
        "model": request.model,
        "messages": list(_messages(request)),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _response_format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    if response_format is None or response_format["type"] != "json_schema":
        return response_format
    schema = {key: value for key, value in response_format.items() if key != "type"}
    return {"type": "json_schema", "json_schema": {"name": "reply", **schema}}


def _tool(tool: FunctionTool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _messages(request: Request) -> Iterator[dict[str, Any]]:
    if request.system is not None:
        yield {"role": "system", "content": request.system}
    for message in request.messages:
        if message.role == "tool":
            for result in message.parts_of(ToolResultPart):
                yield {"role": "tool", "tool_call_id": result.id, "content": _text(result.content)}
            continue
        # `developer` is OpenAI's own word; every other server knows `system`, and OpenAI takes it too.
        chat: dict[str, Any] = {
            "role": "system" if message.role == "developer" else message.role,
            "content": _content(message.parts),
        }
        if calls := message.parts_of(ToolCallPart):
            chat["tool_calls"] = [_tool_call(call) for call in calls]
        yield chat


def _content(parts: tuple[Any, ...]) -> str | list[dict[str, Any]]:
    images = [{"type": "image_url", "image_url": {"url": part.url}} for part in parts if isinstance(part, ImagePart)]
    return [{"type": "text", "text": _text(parts)}, *images] if images else _text(parts)


def _text(parts: tuple[Any, ...]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def _tool_call(call: ToolCallPart) -> dict[str, Any]:
    arguments = json.dumps(call.input, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def read_message(message: dict[str, Any]) -> Message:
    """One message in chat form as an `lm15` message. `content` is text."""
    text = message.get("content") or ""
    match message["role"]:
        case "tool":
            result = ToolResultPart(id=message.get("tool_call_id") or "call", content=(TextPart(text=text),))
            return Message(role="tool", parts=(result,))
        case "assistant":
            calls = [_read_tool_call(call) for call in message.get("tool_calls") or ()]
            return Message(role="assistant", parts=(TextPart(text=text), *calls))
        case "user":
            images = [ImagePart(url=url) for url in message.get("images") or ()]
            return Message(role="user", parts=(TextPart(text=text), *images))
        case _:
            return Message.developer(text)


def _read_tool_call(call: dict[str, Any]) -> ToolCallPart:
    function = call["function"]
    return tool_call(call["id"], function["name"], function["arguments"])


class ChunkReader:
    """Folds the chunks of one streamed chat completion into `lm15` events.

    A server may send its usage in the last chunk, in a chunk of its own, or never; a reply is whole only when a
    finish reason was seen.

    Args:
        provider: what the backend is called in errors.
        scored: whether log-probabilities were asked for; others are not looked at.
    """

    def __init__(self, provider: str, *, scored: bool = False) -> None:
        self._provider = provider
        self._scored = scored
        self._started = False
        self._finish_reason: str | None = None
        self._usage: Usage | None = None

    def read(self, chunk: Any) -> Iterator[StreamEvent]:
        """The events of one chunk, possibly none.

        Raises:
            StreamAssemblyError: the chunk is not a chat completion chunk.
            ServerError, InvalidRequestError, ContextLengthError: the chunk is the server's error object.
        """
        if not isinstance(chunk, dict):
            raise StreamAssemblyError(f"expected a JSON object, got {type(chunk).__name__}", provider=self._provider)
        if error := chunk.get("error"):
            raise chat_error(error, provider=self._provider)
        if not self._started:
            self._started = True
            yield StreamStartEvent(id=chunk.get("id"), model=chunk.get("model"))
        if usage := chunk.get("usage"):
            self._usage = _read_usage(usage)
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or choice.get("message") or {}
            if thinking := delta.get("reasoning_content") or delta.get("reasoning"):
                yield StreamDeltaEvent(delta=ThinkingDelta(text=thinking))
            text, scores = delta.get("content"), choice.get("logprobs") if self._scored else None
            tokens = tuple(map(_read_token, (scores or {}).get("content") or ()))
            if text or tokens:  # a token may be a part of a character
                yield StreamDeltaEvent(delta=TextDelta(text=text or "", logprobs=tokens))
            for index, call in enumerate(delta.get("tool_calls") or ()):
                function = call.get("function") or {}
                yield StreamDeltaEvent(
                    delta=ToolCallDelta(
                        input=function.get("arguments") or "",
                        part_index=call.get("index", index),
                        id=call.get("id") or None,
                        name=function.get("name") or None,
                    )
                )
            if (reason := choice.get("finish_reason")) is not None and not isinstance(reason, str):
                raise TypeError("finish_reason must be a string")
            self._finish_reason = reason or self._finish_reason

    def end(self) -> StreamEndEvent:
        """The end event, once the server has nothing more to say.

        Raises:
            StreamAssemblyError: the reply was cut: no finish reason was ever sent.
        """
        if self._finish_reason is None:
            raise StreamAssemblyError("the reply was cut off before it was finished", provider=self._provider)
        reason = _FINISH_REASONS.get(self._finish_reason, "stop")
        return StreamEndEvent(finish_reason=reason, usage=self._usage)


def _read_token(token: dict[str, Any]) -> TokenLogprob:
    top = tuple(TopLogprob(**_read_logprob(other)) for other in token.get("top_logprobs") or ())
    return TokenLogprob(**_read_logprob(token), top=top)


def _read_logprob(token: dict[str, Any]) -> dict[str, Any]:
    said = token.get("bytes")
    return {
        "token": token.get("token"),
        "logprob": token.get("logprob"),
        "bytes": None if said is None else tuple(said),
    }


def _read_usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens"), details.get("cached_tokens")]
    if any(isinstance(count, int) and count > _MOST_TOKENS for count in counts):
        raise ValueError("nobody has counted so many tokens")
    prompt, completion, cached = counts
    return Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached)


_TOO_LONG = ("context_length_exceeded", "exceed_context_size_error")


def chat_error(error: Any, *, provider: str, status: int | None = None) -> LM15Error:
    """The `lm15` error for a server's error object, whichever of the usual shapes it has."""
    if not isinstance(error, dict):
        error = {"message": str(error)}
    message = str(error.get("message") or error)
    code = error.get("code")
    if code in _TOO_LONG or error.get("type") in _TOO_LONG or "maximum context length" in message:
        return ContextLengthError(message, provider=provider, status=status)
    status = status or (code if isinstance(code, int) else 500)
    kind = ServerError if status >= 500 else InvalidRequestError
    return kind(message, provider=provider, status=status)
