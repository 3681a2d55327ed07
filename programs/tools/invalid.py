"""`invalid`: what is called in place of a call that could not be made valid. It tells the model what was wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from programs.tools import arguments as takes
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool

_INVALID = Tool(
    name="invalid",
    description="Tells what was wrong with a call. Do not use it.",
    parameters=takes.takes(
        ["tool", "error"],
        tool=takes.text("The tool that was meant.", 200),
        error=takes.text("What was wrong.", 10_000),
    ),
)


def invalid_tools() -> list[GatewayTool]:
    """The tool that models are not told of."""
    return [GatewayTool(_INVALID, _invalid, hidden=True)]


async def _invalid(arguments: Mapping[str, Any], _: Caller) -> Result:
    meant = f"The call of {arguments['tool']}" if arguments["tool"] else "The call"
    return Result(f"{meant} was not made: {arguments['error']}", ok=False)
