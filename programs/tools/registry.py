"""The gateway tools that there are, by name, and the one way in which they are executed.

call ─> known and offered? ─> arguments fit the schema? ─> executor ─> output of a bounded length
└───────────────────────┴─────────────────────┴──> a result that says what is wrong
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from programs.errors import ConfigurationError, ToolFailed
from programs.schemas import UnusableSchema, problem
from programs.settings import ToolSettings
from programs.tools.batches import batch_tools
from programs.tools.edits import edit_tools
from programs.tools.files import file_tools
from programs.tools.invalid import invalid_tools
from programs.tools.outputs import shortened
from programs.tools.protocol import Caller, Execution, GatewayTool, Result
from programs.tools.searching import search_tools
from programs.tools.skills import skill_tools
from programs.tools.tasks import task_tools
from programs.tools.todos import todo_tools
from programs.tools.workspace import Workspace
from programs.transcript import Tool, ToolCall

BUILT_IN = frozenset(
    {
        *("bash", "read", "write", "edit", "multiedit", "patch", "ls", "glob", "grep", "codesearch"),
        *("webfetch", "websearch", "todo_read", "todo_write", "task", "skill", "batch", "invalid"),
    }
)
"""The names of all tools that come with RANTS. Some are not there where nothing is configured for them."""

_HEADS = 200  # characters that a batch writes around the output of a part


def workspace_tools(settings: ToolSettings) -> list[GatewayTool]:
    """The tools that need nothing but a workspace and a `Caller`.

    Raises:
        ConfigurationError: a folder of skills cannot be used.
    """
    return [
        *file_tools(settings),
        *edit_tools(),
        *search_tools(settings),
        *todo_tools(),
        *skill_tools(settings.skills),
        *task_tools(),
        *invalid_tools(),
    ]


class Registry:
    """Tools by name. It adds `batch`, which executes calls as it does itself.

    Args:
        tools: all that there are; those that `settings.gateway` does not name are left out.
        settings: which are used, and how long an output may be.
        more: gives the tools that come and go: those of MCP servers. One whose name is taken is left out.

    Raises:
        ConfigurationError: two have the same name, or the settings name one that cannot be.
    """

    def __init__(
        self,
        tools: Iterable[GatewayTool],
        settings: ToolSettings,
        more: Callable[[], Iterable[GatewayTool]] = tuple,
    ) -> None:
        self._settings = settings
        self._more = more
        self._tools: dict[str, GatewayTool] = {}
        for tool in (*tools, *batch_tools(self._part)):
            if tool.name in self._tools:
                raise ConfigurationError(f"two gateway tools are named {tool.name!r}")
            self._tools[tool.name] = tool
        wanted = settings.gateway
        if wanted is not None:
            unknown = sorted(
                name
                for name in wanted - BUILT_IN - self._tools.keys()
                if not name.startswith(tuple(f"{label}_" for label in settings.mcp))
            )
            if unknown:
                known = ", ".join(sorted(BUILT_IN | self._tools.keys()))
                raise ConfigurationError(f"tools.gateway: there is no tool {unknown[0]!r}; there are {known}")
            self._tools = {name: tool for name, tool in self._tools.items() if name in wanted or tool.hidden}

    def _all(self) -> dict[str, GatewayTool]:
        wanted = self._settings.gateway
        late = {tool.name: tool for tool in self._more() if wanted is None or tool.name in wanted}
        return late | self._tools

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __getitem__(self, name: str) -> GatewayTool:
        """The tool of that name.

        Raises:
            KeyError: there is none.
        """
        return self._all()[name]

    def offered(self, names: Collection[str] | None = None, *, changes: bool, tasks: bool = True) -> tuple[Tool, ...]:
        """What a session may be offered.

        Args:
            names: the tools that are asked for; None for all. Names of others are not looked at.
            changes: with those that write or execute.
            tasks: with `task`; without it where a session may open no other.
        """
        return tuple(
            tool.tool
            for name, tool in self._all().items()
            if (names is None or name in names)
            and (changes or not tool.changes)
            and (tasks or name != "task")
            and not tool.hidden
        )

    async def execute(self, call: ToolCall, caller: Caller) -> Result:
        """Make a call. What can go wrong is told in the result, whose output has the configured length at most.

        Raises:
            BudgetSpent: the run may spend no more.
        """
        return await self._execute(call, caller, self._settings.output_chars)

    async def _part(self, call: ToolCall, caller: Caller, parts: int) -> Result:
        """Make one call of a batch that has so many."""
        return await self._execute(call, caller, max(500, self._settings.output_chars // parts - _HEADS))

    async def _execute(self, call: ToolCall, caller: Caller, most: int) -> Result:
        start = time.perf_counter()
        outcome: Literal["ok", "failed", "cancelled", "error"] = "error"
        try:
            result = await self._run(call, caller)
            output = _readable(result.output)
            if len(output) > most:
                workspace = Workspace(caller.workspace)
                output = await asyncio.to_thread(shortened, workspace, call.name, output, most)
            outcome = "ok" if result.ok else "failed"
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        finally:
            digest = sha256(call.arguments.encode(errors="surrogatepass")).hexdigest()
            caller.executed(Execution(call.id, call.name, digest, time.perf_counter() - start, outcome))
        return replace(result, output=output)

    async def _run(self, call: ToolCall, caller: Caller) -> Result:
        tool = self._all().get(call.name)
        if tool is None or not (caller.offered is None or tool.hidden or call.name in caller.offered):
            names = [one.name for one in self.offered(caller.offered, changes=True, tasks=caller.task is not None)]
            return Result(f"There is no tool {call.name!r}; there are: {', '.join(names)}.", ok=False)
        try:
            arguments = json.loads(call.arguments or "{}")
        except (ValueError, RecursionError) as error:
            return Result(f"The arguments of {call.name} are not JSON: {error}", ok=False)
        if not isinstance(arguments, dict):
            return Result(f"The arguments of {call.name} do not fit: they must be an object.", ok=False)
        try:
            wrong = await asyncio.to_thread(problem, arguments, tool.tool.parameters)
        except UnusableSchema as error:
            return Result(f"The arguments of {call.name} cannot be held to its schema: {error}", ok=False)
        if wrong is not None:
            return Result(f"The arguments of {call.name} do not fit: {wrong}", ok=False)
        try:
            return await tool.execute(arguments, replace(caller, call=call.id))
        except ToolFailed as error:
            return Result(str(error), ok=False)


def _readable(text: str) -> str:
    """The text, where half a surrogate pair (a byte of a file's name that is not UTF-8) is written as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="backslashreplace").decode()
    return text
