"""Turns a Signature, its demonstrations and its inputs into native chat messages, and a reply into fields.

No field markers: a model reads the conversation in the roles it was trained on, and writes plain text. How a field is
said follows from its kind. A list of messages is said in its own roles; a `dspy.History` turn by turn; any text as a
paragraph of what the user says. How the outputs are written follows from which they are: see `_FORMATS`.

The prompt is prefix-stable: what was sent in turn n is, byte for byte, the beginning of what is sent in turn n+1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import dspy
from dspy.lm15 import Config, Message, Request, Response

from programs.backends.chat import read_message
from programs.fences import read_code, write_code
from programs.literal_calls import literal_calls
from programs.splitter import join, split, without_thinking
from programs.transcript import ToolIntent, Usage

_CONFIG = {field.name for field in fields(Config)}
_LEADING = ("system", "developer")
_SHORT, _SHORT_MESSAGES = 2048, 4096  # characters; how many of them are kept: 8 MB at most, for ASCII

type Fields = Mapping[str, Any]
type Chat = dict[str, Any]


class NativeAdapter(dspy.Adapter):  # type: ignore[misc]
    """The adapter of every RANTS Signature, optimisable like any other: instructions and demos are what is rendered.

    The instructions come first in the system message, followed by the conversation's own leading system messages;
    then each demo as native turns; then the inputs.
    """

    def __call__(
        self, lm: dspy.LM, lm_kwargs: dict[str, Any], signature: Any, demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Ask `lm`; a list with the one reply's fields."""
        return [self.read(signature, lm(self.request(lm, lm_kwargs, signature, demos, inputs)))]

    async def acall(
        self, lm: dspy.LM, lm_kwargs: dict[str, Any], signature: Any, demos: list[Any], inputs: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Ask `lm` without blocking; a list with the one reply's fields."""
        return [self.read(signature, await lm.acall(self.request(lm, lm_kwargs, signature, demos, inputs)))]

    def request(
        self, lm: dspy.LM, lm_kwargs: Fields, signature: Any, demos: Iterable[Fields], inputs: Fields
    ) -> Request:
        """The call as it goes to the engine."""
        system, turns = self.said(signature, demos, inputs)
        return Request(
            model=lm.model,
            system=system,
            # A request must say something; a conversation may be nothing but its system message.
            messages=turns or (Message.user(""),),
            config=call_config({**lm.kwargs, **lm_kwargs}),
        )

    def said(self, signature: Any, demos: Iterable[Fields], inputs: Fields) -> tuple[str | None, tuple[Message, ...]]:
        """The prompt: its system message, if there is one, and the turns."""
        fields = [(name, field.annotation) for name, field in signature.input_fields.items()]
        written = tuple(signature.output_fields)
        asked = _turns(fields, written, inputs)
        body = 0
        while body < len(asked) and asked[body]["role"] in _LEADING:
            body += 1
        system = [signature.instructions, *(message["content"] for message in asked[:body])]
        turns = [turn for demo in demos for turn in _turns(fields, written, demo)] + asked[body:]
        return "\n\n".join(part for part in system if part) or None, tuple(map(_message, turns))

    def read(self, signature: Any, reply: Response) -> dict[str, Any]:
        """The fields of a reply: the signature's outputs; `written`, `finish_reason`, `usage`, `model`; `logprobs`."""
        written = text_of(reply)
        return {
            **_FORMATS[tuple(signature.output_fields)].read(written),
            "written": written,
            "finish_reason": reply.finish_reason,
            "usage": usage_of(reply),
            "model": reply.model,
            "logprobs": reply.logprobs,
        }


def text_of(reply: Response) -> str:
    """What the model wrote, without what it calls thinking where the engine knows that."""
    return "".join(part.text for part in reply.message.parts if part.type == "text")


def usage_of(reply: Response) -> Usage | None:
    """What the call cost; None where the backend did not say."""
    usage = reply.usage
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return Usage(prompt=usage.input_tokens, completion=usage.output_tokens, cached=usage.cache_read_tokens or 0)


def _turns(inputs: list[tuple[str, Any]], outputs: tuple[str, ...], said: Fields) -> list[Chat]:
    """What a call, a demo or a turn of a history says: its inputs, then its outputs if it has them.

    Args:
        inputs: the signature's, with their types.
        outputs: the signature's.
        said: the values.
    """
    turns: list[Chat] = []
    for name, kind in inputs:
        value = said.get(name)
        if not value:
            continue
        if kind is dspy.History:
            for turn in dspy.History.model_validate(value).messages:
                _append(turns, _turns(inputs, outputs, turn))
        elif isinstance(value, str):
            _append(turns, [{"role": "user", "content": value}])
        else:
            turns += value
    if any(said.get(name) is not None for name in outputs):
        turns.append({"role": "assistant", "content": _FORMATS[outputs].write(said)})
    return turns


def _append(turns: list[Chat], more: list[Chat]) -> None:
    """Add turns; where two of the user's would follow each other, the second is a paragraph of the first."""
    for turn in more:
        if turns and turns[-1]["role"] == turn["role"] == "user":
            turns[-1] = {"role": "user", "content": f"{turns[-1]['content']}\n\n{turn['content']}"}
        else:
            turns.append(turn)


@dataclass(frozen=True, slots=True)
class _Format:
    """How outputs are written in a demo, and read from a reply."""

    write: Callable[[Fields], str]
    read: Callable[[str], dict[str, Any]]


def _write_intents(said: Fields) -> str:
    intents = [ToolIntent.model_validate(intent) for intent in said.get("tool_intents") or ()]
    return join(said["text"], intents)


def _read_intents(reply: str) -> dict[str, Any]:
    text, intents = split(reply)
    return {"text": text, "tool_intents": list(intents)}


def _read_code(reply: str) -> dict[str, Any]:
    reasoning, code = read_code(without_thinking(reply))
    return {"reasoning": reasoning, "code": code}


def _write_calls(said: Fields) -> str:
    calls = said["tool_calls"]
    if isinstance(calls, str):
        return calls
    written = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return json.dumps({"tool_calls": written}, ensure_ascii=False)


def _read_calls(reply: str) -> dict[str, Any]:
    """The calls as (name, arguments); the reply itself, where it says none."""
    words = without_thinking(reply).strip()
    return {"tool_calls": literal_calls(words) or ([] if _NO_CALLS.fullmatch(words) else words)}


def _read_parts(reply: str) -> dict[str, Any]:
    """The parts, where the reply is a list of texts."""
    try:
        parts = json.loads(without_thinking(reply), strict=False)["parts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        parts = None
    said = isinstance(parts, list) and all(isinstance(part, str) and part.strip() for part in parts)
    return {"parts": parts if said else []}


def _read_label(reply: str) -> dict[str, Any]:
    """The label, where the reply is JSON as it was asked for; else the reply itself."""
    words = without_thinking(reply).strip()
    try:
        label = json.loads(words, strict=False)["label"]
    except (ValueError, KeyError, TypeError, RecursionError):
        label = words
    return {"label": str(label)}


_NO_CALLS = re.compile(r"(?:```\w*\s*)?(?:\{\s*\"tool_calls\"\s*:\s*)?\[\s*\]\s*\}?(?:\s*```)?")

_FORMATS = {
    ("text", "tool_intents"): _Format(_write_intents, _read_intents),
    ("reasoning", "code"): _Format(lambda said: write_code(said.get("reasoning") or "", said["code"]), _read_code),
    ("tool_calls",): _Format(_write_calls, _read_calls),
    ("parts",): _Format(lambda said: json.dumps({"parts": said["parts"]}, ensure_ascii=False), _read_parts),
    ("label",): _Format(lambda said: said["label"], _read_label),
    ("answer",): _Format(lambda said: said["answer"], lambda reply: {"answer": without_thinking(reply).strip()}),
}


def _message(turn: Chat) -> Message:
    """A turn for the engine. A short one is made once: in each turn of a run, all those before it are said again."""
    if turn["role"] in ("user", "assistant") and len(turn) == 2 and len(turn["content"]) <= _SHORT:
        return _short_message(turn["role"], turn["content"])
    return read_message(turn)


@lru_cache(_SHORT_MESSAGES)
def _short_message(role: str, content: str) -> Message:
    return read_message({"role": role, "content": content})


def call_config(asked: dict[str, Any]) -> Config:
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
