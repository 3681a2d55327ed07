"""A command that an intent spells out is a call already: run the command `ls docs`.

Our demonstrations have generators say it so. Nothing is left to compile, and small compilers, which like a long list of
tools to choose from, cannot mistake it for something else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from programs.coercion import resolved
from programs.literal_calls import Call
from programs.transcript import Tool

_COMMAND = "command"
_SPELLED = re.compile(
    r"\s*(?:run|execute) (?:the |this )?(?:shell |bash )?command:?\s+`([^`]+)`\s*\.?\s*", re.IGNORECASE
)


def spelled_command(intent: str, tools: Sequence[Tool]) -> list[Call]:
    """The call of the tool that runs commands; none where the intent says more, or there is not one such tool.

    Args:
        intent: what is wanted.
        tools: what may be called.
    """
    spelled = _SPELLED.fullmatch(intent)
    running = [tool for tool in tools if _runs_commands(tool)]
    return [(running[0].name, {_COMMAND: spelled[1]})] if spelled and len(running) == 1 else []


def _runs_commands(tool: Tool) -> bool:
    """Whether a command, as one text, is all that the tool needs."""
    schema = resolved(tool.parameters, tool.parameters)
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    command = resolved(properties.get(_COMMAND), tool.parameters) if isinstance(properties, Mapping) else None
    is_text = isinstance(command, Mapping) and command.get("type") == "string"
    return is_text and schema.get("required") == [_COMMAND]
