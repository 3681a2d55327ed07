"""Turns a Signature, its demonstrations and a conversation into native chat messages, and a reply into fields.

No field markers: a model reads the conversation in the roles it was trained on, and writes plain text. The prompt is
prefix-stable: what was sent in turn n is, byte for byte, the beginning of what is sent in turn n+1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request, Response

from programs.backends.chat import read_message
from programs.splitter import join, split
from programs.transcript import ToolIntent, Usage

_CONFIG = {field.name for field in fields(Config)}
_LEADING = ("system", "developer")


class NativeAdapter(dspy.Adapter):  # type: ignore[misc]
    """The adapter of every RANTS Signature, optimisable like any other: instructions and demos are what is rendered.

    The instructions come first in the system message, followed by the conversation's own leading system messages;
    then each demo as native turns; then the conversation.
    """

    def __call__(
        self, lm: dspy.LM, lm_kwargs: dict[str, Any], signature: Any, demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Ask `lm`; a list with the one reply's fields."""
        return [self.read(lm(self.request(lm, lm_kwargs, signature, demos, inputs)))]

    async def acall(
        self, lm: dspy.LM, lm_kwargs: dict[str, Any], signature: Any, demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Ask `lm` without blocking; a list with the one reply's fields."""
        return [self.read(await lm.acall(self.request(lm, lm_kwargs, signature, demos, inputs)))]

    def request(
        self,
        lm: dspy.LM,
        lm_kwargs: Mapping[str, Any],
        signature: Any,
        demos: Iterable[Mapping[str, Any]],
        inputs: Mapping[str, Any],
    ) -> Request:
        """The call as it goes to the engine. `inputs["messages"]` is a conversation in chat form."""
        messages: list[dict[str, Any]] = list(inputs["messages"])
        body = 0
        while body < len(messages) and messages[body]["role"] in _LEADING:
            body += 1
        system = [signature.instructions, *(message["content"] for message in messages[:body])]
        turns: list[Message] = []
        for demo in demos:
            turns.extend(read_message(message) for message in demo["messages"])
            intents = [ToolIntent.model_validate(intent) for intent in demo.get("tool_intents") or ()]
            turns.append(Message.assistant(join(demo["text"], intents)))
        turns.extend(read_message(message) for message in messages[body:])
        return Request(
            model=lm.model,
            system="\n\n".join(part for part in system if part) or None,
            # A request must say something; a conversation may be nothing but its system message.
            messages=tuple(turns) or (Message.user(""),),
            config=_config({**lm.kwargs, **lm_kwargs}),
        )

    def read(self, reply: Response) -> dict[str, Any]:
        """The fields of a reply: `text` and `tool_intents`, with `finish_reason` and `usage` beside them."""
        written = "".join(part.text for part in reply.message.parts if part.type == "text")
        text, intents = split(written)
        usage = reply.usage
        return {
            "text": text,
            "tool_intents": list(intents),
            "finish_reason": reply.finish_reason,
            "usage": None
            if usage.input_tokens is None or usage.output_tokens is None
            else Usage(
                prompt=usage.input_tokens,
                completion=usage.output_tokens,
                cached=usage.cache_read_tokens or 0,
            ),
        }


def _config(asked: dict[str, Any]) -> Config:
    """`lm15`'s configuration from chat completions' names; what it does not know travels as an extension."""
    said = {key: value for key, value in asked.items() if value is not None and key != "rollout_id"}
    if (response_format := said.get("response_format")) is not None:
        said["response_format"] = _response_format(response_format)
    extensions = {key: value for key, value in said.items() if key not in _CONFIG}
    return Config(**{key: value for key, value in said.items() if key in _CONFIG}, extensions=extensions or None)


def _response_format(chat: Mapping[str, Any]) -> dict[str, Any] | None:
    match chat["type"]:
        case "json_schema":
            described = chat["json_schema"]
            wanted = {key: described[key] for key in ("name", "schema", "strict") if described.get(key) is not None}
            return {"type": "json_schema", **wanted}
        case "json_object":
            return {"type": "json_object"}
        case _:
            return None
