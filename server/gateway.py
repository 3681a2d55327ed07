"""The gateway tools of a server: which there are, who is offered them, and on whose behalf they run."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from fastapi import Request

from programs.environment import EnvironmentUnavailable
from programs.errors import ConfigurationError
from programs.tools import Caller, Execution, GatewayTool, Registry, Todos, tenant_folder, workspace_tools
from programs.tools.bash import bash_tool
from programs.tools.mcp import MCPServers
from programs.tools.web import web_tools
from programs.transcript import Tool
from server.grants import Grant
from server.settings import Settings, config_file
from store import Run, Store

logger = logging.getLogger("rants")


class Gateway:
    """Joins the tools of RANTS with those of MCP servers, in one registry: `async with Gateway(...) as gateway`.

    Args:
        settings: of the server.
        store: where to-do lists and the audit are kept.

    Raises:
        ConfigurationError: the tools that are configured cannot be.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        _keep_apart(settings)
        self._settings = settings
        self._store = store
        self._servers = MCPServers(settings.tools.mcp)
        self._bash: GatewayTool | None = None
        self._no_bash: str | None = None
        self._starting: asyncio.Task[None] | None = None
        tools = [*workspace_tools(settings.tools), *web_tools(settings.tools.web)]
        self.registry = Registry(tools, settings.tools, more=self._late)

    async def __aenter__(self) -> Self:
        self._servers.start()
        self._starting = asyncio.create_task(self._start_bash())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError):
                await self._starting
        await self._servers.aclose()

    def _late(self) -> list[GatewayTool]:
        """The tools that are there some time after the start."""
        return [*([self._bash] if self._bash is not None else []), *self._servers.tools()]

    async def _start_bash(self) -> None:
        if not self._settings.tools.bash.enabled:
            return
        try:
            self._bash = await bash_tool(self._settings.tools.bash)
        except EnvironmentUnavailable as error:
            self._no_bash = str(error)
            logger.warning("There is no tool bash: %s", error)

    async def started(self) -> None:
        """Wait until it is known whether there is `bash`: for about a second after the start."""
        if self._starting is not None:
            await asyncio.shield(self._starting)

    def offered(self, request: Request, grant: Grant) -> Mapping[str, Tool]:
        """The tools that `request` may ask for, by name: of those that its key allows.

        Where everybody on a network may ask, without a key, there are none that write or execute.
        """
        host = request.client.host if request.client else ""
        alone = is_loopback(self._settings.server.host) and is_loopback(host)
        offered = self.registry.offered(grant.tools, changes=alone or self._settings.auth.enabled)
        return {tool.name: tool for tool in offered}

    @property
    def always(self) -> frozenset[str]:
        """The tools that a request is offered which does not ask for any."""
        return self._settings.tools.offered

    def caller(
        self, asked: Run, session: str | None, offered: frozenset[str], audits: list[asyncio.Task[None]]
    ) -> Caller:
        """On whose behalf the tools of a run are executed.

        Args:
            asked: the run.
            session: the store's; None where the run is not kept, and the to-do list is the run's own.
            offered: the tools that it may use.
            audits: is given what is still being written down.
        """
        root = self._settings.tools.workspace
        workspace = tenant_folder(root, asked.tenant) if self._settings.auth.enabled else root

        def executed(execution: Execution) -> None:
            audits.append(asyncio.create_task(self._store.audit(asked.tenant, asked.id, session or "", execution)))

        return Caller(
            tenant=asked.tenant,
            session=asked.id,
            workspace=workspace.absolute(),
            todos=_StoredTodos(self._store, asked.tenant, session) if session is not None else _Todos(),
            offered=offered,
            executed=executed,
        )

    def health(self) -> dict[str, Any]:
        """What there is, and what is wrong with it, as `/health` tells it."""
        servers = {label: {"tools": seen.tools, "error": seen.error} for label, seen in self._servers.health().items()}
        names = [tool.name for tool in self.registry.offered(changes=True)]
        return {"offered": names, "bash": {"ok": self._bash is not None, "error": self._no_bash}, "mcp": servers}


class _StoredTodos(Todos):
    """The to-do list of a session that is kept."""

    def __init__(self, store: Store, tenant: str, session: str) -> None:
        self._store = store
        self._tenant = tenant
        self._session = session

    async def read(self) -> list[dict[str, Any]]:
        """See `Todos`."""
        return await self._store.todos(self._tenant, self._session)

    async def write(self, todos: list[dict[str, Any]]) -> None:
        """See `Todos`."""
        await self._store.set_todos(self._tenant, self._session, todos)


class _Todos(Todos):
    """The to-do list of a run that is not kept."""

    def __init__(self) -> None:
        self._todos: list[dict[str, Any]] = []

    async def read(self) -> list[dict[str, Any]]:
        """See `Todos`."""
        return self._todos

    async def write(self, todos: list[dict[str, Any]]) -> None:
        """See `Todos`."""
        self._todos = todos


def _keep_apart(settings: Settings) -> None:
    """See that the workspace does not hold what tools must not read: keys, and everybody's conversations.

    Raises:
        ConfigurationError: it does.
    """
    workspace = settings.tools.workspace.resolve()
    private = [
        *([settings.state.file] if settings.state.file else []),
        *([config_file()] if config_file().exists() else []),
    ]
    for path in private:
        if path.resolve().is_relative_to(workspace):
            raise ConfigurationError(
                f"tools.workspace is {workspace}, which holds {path}: tools must not read that. Choose another folder."
            )


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
