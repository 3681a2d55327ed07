"""Calls of gateway tools in a folder, as a session makes them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from programs.settings import ToolSettings
from programs.tools import Caller, Execution, GatewayTool, Registry, Result, workspace_tools
from programs.transcript import ToolCall


class Listed:
    """A to-do list in memory."""

    def __init__(self) -> None:
        self.todos: list[dict[str, Any]] = []

    async def read(self) -> list[dict[str, Any]]:
        return self.todos

    async def write(self, todos: list[dict[str, Any]]) -> None:
        self.todos = todos


@dataclass
class Calling:
    """A session whose workspace is `root`; `executed` are its calls so far."""

    root: Path
    settings: ToolSettings = field(default_factory=ToolSettings)
    more: list[GatewayTool] = field(default_factory=list)
    task: Callable[[str, str], Awaitable[str]] | None = None
    offered: frozenset[str] | None = None
    executed: list[Execution] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.registry = Registry([*workspace_tools(self.settings), *self.more], self.settings)
        self.todos = Listed()

    async def __call__(self, name: str, /, **arguments: Any) -> Result:
        return await self.say(name, json.dumps(arguments))

    async def say(self, name: str, arguments: str) -> Result:
        """Make a call whose arguments are this text."""
        caller = Caller(
            tenant="local",
            session="s",
            workspace=self.root,
            todos=self.todos,
            task=self.task,
            offered=self.offered,
            executed=self.executed.append,
        )
        return await self.registry.execute(ToolCall(id="c", name=name, arguments=arguments), caller)
