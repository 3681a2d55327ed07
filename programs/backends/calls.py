"""Calls of tools, as a model writes them by itself when it is offered some."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from dspy.lm15 import ToolCallDelta, ToolCallPart


def tool_call(name_of_call: str, name: str, written: str) -> ToolCallPart:
    """One call, from its arguments as text. What is no JSON object is kept under the key `arguments`."""
    try:
        arguments = json.loads(written or "{}")
    except ValueError:
        arguments = written
    # A model may have called with something that is not an object; it is told as it was.
    if not isinstance(arguments, dict):
        arguments = {"arguments": arguments}
    return ToolCallPart(id=name_of_call, name=name, input=arguments)


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    written: list[str] = field(default_factory=list)


class Calls:
    """The calls of one reply, whose arguments come in pieces, possibly interleaved."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}

    def add(self, piece: ToolCallDelta) -> None:
        """Take a piece in."""
        call = self._calls.setdefault(piece.part_index, _Call())
        call.id, call.name = piece.id or call.id, piece.name or call.name
        call.written.append(piece.input)

    def parts(self) -> list[ToolCallPart]:
        """The calls, in order. One that was never given a name is none."""
        return [
            tool_call(call.id or f"call_{index}", call.name, "".join(call.written))
            for index, call in sorted(self._calls.items())
            if call.name
        ]
