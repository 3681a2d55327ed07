"""`todo_read` and `todo_write`: the to-do list of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from programs.tools import arguments as takes
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool

_MARKS = {"pending": "[ ]", "in_progress": "[>]", "completed": "[x]", "cancelled": "[-]"}

_READ = Tool(
    name="todo_read",
    description="Shows the to-do list: [ ] is pending, [>] in progress, [x] completed, [-] cancelled.",
    parameters=takes.takes(),
)
_WRITE = Tool(
    name="todo_write",
    description=(
        "Replaces the to-do list by another. Use it for work of several steps; mark what is done as soon as it is done."
    ),
    parameters=takes.takes(
        ["todos"],
        todos=takes.listed(
            "All items of the list, in their order.",
            takes.takes(
                ["content", "status"],
                content=takes.text("What is to be done.", 1000, 1),
                status={"type": "string", "enum": list(_MARKS), "description": "How far it is."},
                priority={"type": "string", "enum": ["high", "medium", "low"], "description": "How much it matters."},
                id=takes.text("A name for the item.", 100),
            ),
            200,
            0,
        ),
    ),
)


def todo_tools() -> list[GatewayTool]:
    """The tools for the list that a `Caller` has."""
    return [GatewayTool(_READ, _read), GatewayTool(_WRITE, _write)]


async def _read(_: Mapping[str, Any], caller: Caller) -> Result:
    return _shown(await caller.todos.read())


async def _write(arguments: Mapping[str, Any], caller: Caller) -> Result:
    todos = [dict(todo) for todo in arguments["todos"]]
    await caller.todos.write(todos)
    return _shown(todos)


def _shown(todos: Sequence[Mapping[str, Any]]) -> Result:
    rows = [
        f"{_MARKS[todo['status']]} {todo['content']}" + (f" ({todo['priority']})" if "priority" in todo else "")
        for todo in todos
    ]
    left = sum(todo["status"] in {"pending", "in_progress"} for todo in todos)
    rows.append(f"({left} of {len(todos)} to do)" if todos else "(the list is empty)")
    return Result("\n".join(rows), details={"todos": list(todos), "left": left})
