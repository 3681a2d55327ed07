"""`batch`: several calls at once, each of which is looked at and executed as it would be alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from programs.errors import ToolFailed
from programs.tools import arguments as takes
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool, ToolCall

_MOST = 10
_BATCH = Tool(
    name="batch",
    description=(
        "Makes several calls at once, in no particular order; use it for calls that do not need each other's results."
    ),
    parameters=takes.takes(
        ["tool_calls"],
        tool_calls=takes.listed(
            "The calls.",
            takes.takes(
                ["tool", "parameters"],
                tool=takes.text("The name of the tool; not batch.", 200, 1),
                parameters={"type": "object", "description": "The arguments of that tool."},
            ),
            _MOST,
        ),
    ),
)

type ExecutePart = Callable[[ToolCall, Caller, int], Coroutine[Any, Any, Result]]
"""Executes one of so many calls."""


def batch_tools(execute: ExecutePart) -> list[GatewayTool]:
    """The tool that makes several calls by `execute`."""

    async def batch(arguments: Mapping[str, Any], caller: Caller) -> Result:
        calls = [
            ToolCall(
                id=f"{caller.call}.{number}",
                name=part["tool"],
                arguments=json.dumps(part["parameters"], ensure_ascii=False),
            )
            for number, part in enumerate(arguments["tool_calls"], 1)
        ]
        if any(call.name == _BATCH.name for call in calls):
            raise ToolFailed("a batch cannot be part of a batch; no call was made")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(execute(call, caller, len(calls))) for call in calls]
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        results = [task.result() for task in tasks]
        rows = [
            f"[{number}] {call.name}: {'ok' if result.ok else 'failed'}\n{result.output}"
            for number, (call, result) in enumerate(zip(calls, results, strict=True), 1)
        ]
        details = [{"tool": call.name, "ok": one.ok, **one.details} for call, one in zip(calls, results, strict=True)]
        return Result("\n\n".join(rows), ok=all(result.ok for result in results), details={"results": details})

    return [GatewayTool(_BATCH, batch)]
