"""`task`: a question that a child session answers, so that its steps do not fill the window of its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from programs.errors import BackendError, ToolFailed, UserError
from programs.tools import arguments as takes
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool

_TASK = Tool(
    name="task",
    description=(
        "Has a task done by a session of its own, which knows nothing but the prompt and has the same workspace. You"
        " are given its answer. Several tasks can be done at once."
    ),
    parameters=takes.takes(
        ["description", "prompt"],
        description=takes.text("The task in three to five words.", 200, 1),
        prompt=takes.text("The whole task, with all that one must know for it, and what to answer.", 100_000, 1),
    ),
)


def task_tools() -> list[GatewayTool]:
    """The tool that opens child sessions. A caller whose `task` is None should not be offered it."""
    return [GatewayTool(_TASK, _task)]


async def _task(arguments: Mapping[str, Any], caller: Caller) -> Result:
    if caller.task is None:
        raise ToolFailed("no further session can be opened from here; do the task yourself")
    try:
        answer = await caller.task(caller.call, arguments["prompt"])
    except (BackendError, UserError) as error:
        raise ToolFailed(f"the task was not done: {error}") from error
    return Result(answer, details={"description": arguments["description"]})
