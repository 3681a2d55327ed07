"""The tools of MCP servers, as gateway tools named `label_tool`.

Each server has a task of its own, which connects, says which tools there are, and connects again when the server is
lost. Nobody waits for it: a server that is slow or dead has no tools yet, or tools whose calls say what is wrong.

    task of a server:  connect ─> list tools ─> look after it ─> lost ─> wait, longer each time ─> connect ...
    task of a call:                └── client ──> call_tool
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from programs.settings import MCPServerSettings
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool

if TYPE_CHECKING:
    import mcp_types

    from programs.tools import mcp_client

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_CLOSE_SECONDS = 15.0
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class MCPHealth:
    """How a server does: how many tools it has, and what is wrong with it, if anything."""

    tools: int
    error: str | None


class MCPServers:
    """The configured MCP servers.

    Args:
        settings: of each server, under the label that its tools' names begin with.
    """

    def __init__(self, settings: Mapping[str, MCPServerSettings]) -> None:
        self._servers = {label: _Server(label, each) for label, each in settings.items()}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to connect, in the background. Idempotent; close it in the same event loop."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(server.run(), name=f"mcp {label}") for label, server in self._servers.items()
            ]

    def tools(self) -> list[GatewayTool]:
        """The tools that are known by now: of servers that were lost, those that they had. Cheap: ask each time."""
        return [tool for server in self._servers.values() for tool in server.tools]

    def health(self) -> dict[str, MCPHealth]:
        """How each server does, by label."""
        return {label: MCPHealth(len(server.tools), server.error) for label, server in self._servers.items()}

    async def aclose(self) -> None:
        """End all sessions and processes. Idempotent."""
        for server in self._servers.values():
            server.close()
        tasks, self._tasks = self._tasks, []
        if tasks:
            _, running = await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


class _Server:
    """One server, and the task that owns what is open to it."""

    def __init__(self, label: str, settings: MCPServerSettings) -> None:
        self._label = label
        self._settings = settings
        self._sdk: Any = None  # the module `mcp_client`, from when `run` runs
        self._client: mcp_client.Client | None = None
        self._connecting: asyncio.Timeout | None = None
        self._look = asyncio.Event()
        self._closing = False
        self.tools: list[GatewayTool] = []
        self.error: str | None = "it has not answered yet"

    def close(self) -> None:
        """Let `run` come to its end."""
        self._closing = True
        self._look.set()
        if self._connecting is not None:
            self._connecting.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Stay connected until it is closed."""
        self._sdk = await asyncio.to_thread(importlib.import_module, "programs.tools.mcp_client")
        wait = _FIRST_WAIT_SECONDS
        while not self._closing:
            stderr = self._sdk.Stderr()
            try:
                async with AsyncExitStack() as stack:
                    await self._connect(stack, stderr)
                    wait = _FIRST_WAIT_SECONDS
                    await self._look_after(stderr)
            except Exception as error:  # noqa: BLE001 - whatever a foreign server or its SDK breaks, the others run on
                self._lost(self._sdk.described(error), stderr.last_line)
            finally:
                self._client = None
            await self._pause(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def _connect(self, stack: AsyncExitStack, stderr: mcp_client.Stderr) -> None:
        try:
            async with asyncio.timeout(self._settings.start_timeout_seconds) as self._connecting:
                client = await self._sdk.connect(self._settings, stack, stderr)
                self.tools = self._joined(await self._sdk.tools_of(client))
        finally:
            self._connecting = None
        self._client, self.error = client, None
        _log.info("MCP server %s is connected; it has %d tools", self._label, len(self.tools))

    async def _look_after(self, stderr: mcp_client.Stderr) -> None:
        """Until it is lost or closed; the list of tools is a sign of life."""
        client = self._client
        ending = asyncio.create_task(stderr.ended.wait())
        ending.add_done_callback(lambda _: self._look.set())
        try:
            while not self._closing:
                await self._pause(_LOOK_SECONDS)
                if not self._closing:
                    async with asyncio.timeout(self._settings.start_timeout_seconds):
                        self.tools = self._joined(await self._sdk.tools_of(client))
        finally:
            ending.cancel()

    async def _pause(self, seconds: float) -> None:
        """Wait, or less when there is something to look at."""
        if not self._closing:
            self._look.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._look.wait()
            except TimeoutError:
                pass

    def _lost(self, why: str, last_line: str) -> None:
        said = f"{why} ({last_line})" if last_line else why
        if not self._closing and said != self.error:  # once, however often it is tried again
            _log.warning("MCP server %s cannot be reached: %s", self._label, said)
        self.error = said

    def _joined(self, tools: list[mcp_types.Tool]) -> list[GatewayTool]:
        named: dict[str, GatewayTool] = {}
        for tool in tools:
            name = _name(self._label, tool.name)
            if tool.input_schema.get("type") == "object" and name not in named:
                named[name] = self._tool(name, tool)
        return list(named.values())

    def _tool(self, name: str, tool: mcp_types.Tool) -> GatewayTool:
        async def execute(arguments: Mapping[str, Any], caller: Caller) -> Result:
            return await self._call(tool.name, arguments)

        reads_only = tool.annotations is not None and bool(tool.annotations.read_only_hint)
        shown = Tool(name=name, description=tool.description or tool.title or "", parameters=tool.input_schema)
        return GatewayTool(shown, execute, changes=not reads_only)

    async def _call(self, name: str, arguments: Mapping[str, Any]) -> Result:
        client = self._client
        if client is None:
            return Result(f"The MCP server {self._label} is not connected: {self.error}. It is tried again.", ok=False)
        seconds = self._settings.call_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                result: Result = await self._sdk.call(client, name, arguments)
        except TimeoutError:
            return Result(f"The MCP server {self._label} did not answer within {seconds:g} s.", ok=False)
        except Exception as error:  # noqa: BLE001 - what a foreign server answers, its SDK may not understand
            self._look.set()
            return Result(f"The call of MCP server {self._label} failed: {self._sdk.described(error)}", ok=False)
        if "code" in result.details:
            self._look.set()  # it may be gone
        return result


def _name(label: str, tool: str) -> str:
    """A name that every API takes: of few letters and bounded length, different for different tools."""
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{label}_{tool}")
    if len(name) > _LONGEST_NAME:
        name = f"{name[: _LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"
    return name
