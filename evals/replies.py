"""A model's reply as JSON, to be kept and read again."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from dspy.lm15 import Message, Response, TextPart, ThinkingPart, TokenLogprob, ToolCallPart, TopLogprob, Usage

from programs.backends.calls import tool_call


def arguments(call: ToolCallPart) -> str:
    """What a tool is called with, as JSON."""
    return json.dumps(call.input, ensure_ascii=False)


def written(response: Response) -> str:
    """The reply as JSON: its thinking, text and calls, how it ended, its usage, and how likely its tokens were."""
    parts = response.message.parts
    return json.dumps(
        {
            "id": response.id,
            "model": response.model,
            "thinking": [part.text for part in parts if isinstance(part, ThinkingPart)],
            "text": [part.text for part in parts if isinstance(part, TextPart)],
            "calls": [(part.id, part.name, arguments(part)) for part in parts if isinstance(part, ToolCallPart)],
            "finish_reason": response.finish_reason,
            "usage": {name: tokens for name, tokens in asdict(response.usage).items() if tokens is not None},
            **({"logprobs": [asdict(token) for token in response.logprobs]} if response.logprobs else {}),
        }
    )


def read(text: str) -> Response:
    """The reply that `written` wrote."""
    kept = json.loads(text)
    parts = (
        *(ThinkingPart(text=thought) for thought in kept["thinking"]),
        *(TextPart(text=piece) for piece in kept["text"]),
        *(tool_call(*call) for call in kept["calls"]),
    )
    return Response(
        id=kept["id"],
        model=kept["model"],
        message=Message(role="assistant", parts=parts),
        finish_reason=kept["finish_reason"],
        usage=Usage(**kept["usage"]),
        logprobs=tuple(map(_token, kept["logprobs"])) if "logprobs" in kept else None,
    )


def _token(kept: dict[str, Any]) -> TokenLogprob:
    top = tuple(TopLogprob(**_whole(other)) for other in kept["top"])
    return TokenLogprob(**_whole({**kept, "top": top}))


def _whole(kept: dict[str, Any]) -> dict[str, Any]:
    return {**kept, "bytes": None if kept["bytes"] is None else tuple(kept["bytes"])}
