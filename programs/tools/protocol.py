"""What a gateway tool is: a `Tool` that models know, and an executor that RANTS runs.

An executor is given arguments that fit the tool's schema. What goes wrong in the world (no such file, a command that
fails, a page that is not there) is a `Result` with `ok=False`, in words that a model can react to, or a `ToolFailed`
that the registry makes one of; it raises anything else only for bugs of ours, and lets cancellation through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from programs.transcript import Tool, ToolCall


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call.

    Attributes:
        output: what the model reads; the registry cuts it to the configured length.
        ok: whether the call did what it was asked to.
        details: the same for programs, as JSON values: exit codes, counts, paths.
    """

    output: str
    ok: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)


class Todos(Protocol):
    """The to-do list of a session, wherever it is kept."""

    async def read(self) -> list[dict[str, Any]]:
        """The list, as it was last written; empty at first."""

    async def write(self, todos: list[dict[str, Any]]) -> None:
        """Replace the list."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What is kept of a call that was made: who made it is known to whoever is told.

    Attributes:
        call: the call's id; for the second part of the batch `abc` it is `abc.2`.
        tool: what the call named.
        digest: of the arguments' text, SHA-256 in hex.
        seconds: how long it took.
        outcome: `ok`; `failed`, which the model was told; `cancelled`; or `error`: it raised something.
    """

    call: str
    tool: str
    digest: str
    seconds: float
    outcome: Literal["ok", "failed", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a tool runs.

    Attributes:
        tenant: who the key belongs to.
        session: the session whose step made the call.
        workspace: the folder that file tools and commands may touch, and nothing outside of it.
        todos: the session's to-do list.
        task: given the id of its call and a question, has it answered in a child session of the same loop; None where
            sessions may go no deeper.
        offered: the names of the tools that the session may use; None for all that there are.
        executed: is told of each call when it has ended, those of a batch too.
        call: the id of the call that is being executed; the registry says it.
    """

    tenant: str
    session: str
    workspace: Path
    todos: Todos
    task: Callable[[str, str], Awaitable[str]] | None = None
    offered: frozenset[str] | None = None
    executed: Callable[[Execution], None] = lambda _: None
    call: str = ""


type Execute = Callable[[Mapping[str, Any], Caller], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class GatewayTool:
    """A tool that RANTS executes.

    Attributes:
        tool: how models know it.
        execute: does what a call asks for.
        changes: it writes, or executes: not offered by a server that anybody on a network may call.
        hidden: models are not told of it; a call of it is made in place of another one.
    """

    tool: Tool
    execute: Execute
    changes: bool = False
    hidden: bool = False

    @property
    def name(self) -> str:
        """What a call names."""
        return self.tool.name


class Runner(Protocol):
    """What executes calls of gateway tools: the registry."""

    async def execute(self, call: ToolCall, caller: Caller) -> Result:
        """Execute a call that fits its tool's schema. What goes wrong in the world is a result."""
