"""On whose behalf tools run in these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from programs.tools import Caller


class NoTodos:
    async def read(self) -> list[dict[str, Any]]:
        return []

    async def write(self, todos: list[dict[str, Any]]) -> None:
        raise AssertionError(todos)


def caller(workspace: Path) -> Caller:
    return Caller(tenant="me", session="a session", workspace=workspace, todos=NoTodos())
