"""The model's own function calling: the same model on the same engine, without anything of RANTS around it.

The tools go with the request, so that the model's chat template tells them as it was trained on. A model whose template
has no place for tools is told them in words. Small models often write a call as text; what can be meant by it is taken
for a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import dspy
from dspy.lm15 import Config, FunctionTool, Message, Request, Response, ToolCallPart

from programs.adapter import text_of
from programs.literal_calls import Call, literal_calls
from programs.splitter import without_thinking
from programs.transcript import Tool, ToolCall

_MAX_TOKENS = 512
_OPENING = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(strict=False)
_TOLD = """You can call these functions; each line describes one:
{}

To call one, write <tool_call>{{"name": "...", "arguments": {{...}}}}</tool_call>, once for each call.
Where none of them helps, answer in words."""


class Own:
    """Function calling as the model does it by itself.

    Args:
        lm: the model.
    """

    def __init__(self, lm: dspy.LM) -> None:
        self._lm = lm
        self._native: bool | None = None

    async def ask(self, intent: str, tools: Sequence[Tool]) -> tuple[list[ToolCall], str]:
        """What the model calls, and what it says."""
        functions = tuple(FunctionTool(tool.name, tool.description, tool.parameters) for tool in tools)
        if self._native is None:
            self._native = await self._reads_tools(functions)
        if self._native:
            reply = await self._say(intent, tools=functions)
        else:
            told = "\n".join(tool.model_dump_json() for tool in tools)
            reply = await self._say(intent, system=_TOLD.format(told))
        text = text_of(reply)
        made = [(part.name, part.input) for part in reply.message.parts_of(ToolCallPart)]
        calls = made or written(without_thinking(text))
        return [_call(number, name, arguments) for number, (name, arguments) in enumerate(calls)], text

    async def _reads_tools(self, functions: tuple[FunctionTool, ...]) -> bool:
        """Whether the prompt becomes longer when there are tools; where the backend does not say, it is believed."""
        sizes = [
            (await self._say("Hello", tools=offered, max_tokens=1)).usage.input_tokens for offered in (functions, ())
        ]
        return None in sizes or sizes[0] != sizes[1]

    async def _say(
        self,
        text: str,
        *,
        system: str | None = None,
        tools: tuple[FunctionTool, ...] = (),
        max_tokens: int = _MAX_TOKENS,
    ) -> Response:
        config = Config(temperature=0, max_tokens=max_tokens)
        reply: Response = await self._lm.acall(
            Request(model=self._lm.model, system=system, messages=(Message.user(text),), tools=tools, config=config)
        )
        return reply


def written(text: str) -> list[Call]:
    """The calls that a text holds, as (name, arguments), also between other words."""
    if calls := literal_calls(text):
        return calls
    calls, place = [], 0
    while opening := _OPENING.search(text, place):
        try:
            _, place = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            place = opening.end()
        else:
            calls += literal_calls(text[opening.start() : place])
    return calls


def _call(number: int, name: str, arguments: Any) -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(id=f"call_{number}", name=name, arguments=text)
