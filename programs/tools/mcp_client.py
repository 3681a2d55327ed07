"""What RANTS needs of the `mcp` package, whose import takes seconds: only `mcp.py` imports this, when it must."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, TextIO

import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from programs.settings import MCPServerSettings
from programs.tools.protocol import Result

__all__ = ["Client", "MCPError", "call", "connect", "described", "tools_of"]

_MOST_PAGES = 100
_KEPT_STDERR = 2000

# It logs a stack for each line that is no message, and a server may print anything.
logging.getLogger("mcp.client.stdio").setLevel(logging.CRITICAL)


class Stderr:
    """What a server prints on its standard error: read to the end, the last of it kept.

    Attributes:
        ended: set when nobody can print there any more, which is when the server has ended.
    """

    def __init__(self) -> None:
        self._said = b""
        self.ended = asyncio.Event()

    async def open(self, stack: AsyncExitStack) -> TextIO:
        """The end that a server gets; it is open until the stack closes."""
        ours, theirs = os.pipe()
        writer = os.fdopen(theirs, "w")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Tail(self), os.fdopen(ours, "rb", buffering=0))
        stack.callback(transport.close)
        stack.callback(writer.close)
        return writer

    def heard(self, data: bytes) -> None:
        """Take what was printed."""
        self._said = (self._said + data)[-_KEPT_STDERR:]

    @property
    def last_line(self) -> str:
        """The last line that is not empty, shortened."""
        lines = self._said.decode(errors="replace").split("\n")
        return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "")


class _Tail(asyncio.Protocol):
    def __init__(self, stderr: Stderr) -> None:
        self._stderr = stderr

    def data_received(self, data: bytes) -> None:
        self._stderr.heard(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stderr.ended.set()


async def connect(settings: MCPServerSettings, stack: AsyncExitStack, stderr: Stderr) -> Client:
    """A session with the server. The stack closes it, in the task that connects."""
    if settings.url is not None:
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        http = await stack.enter_async_context(create_mcp_http_client(headers=headers))
        transport: Any = streamable_http_client(settings.url, http_client=http)
    else:
        command, *arguments = settings.command
        parameters = StdioServerParameters(
            command=command,
            args=arguments,
            env={name: value.get_secret_value() for name, value in settings.environment.items()},
            cwd=settings.cwd,
            encoding_error_handler="replace",
        )
        errors = await stderr.open(stack)
        transport = _closing(stdio_client(parameters, errlog=errors), errors)
    return await stack.enter_async_context(Client(transport))


class _closing:  # noqa: N801 - it is used as a function
    """A transport that, once its process has started, closes our copy of the process's standard error."""

    def __init__(self, transport: Any, errors: TextIO) -> None:
        self._transport = transport
        self._errors = errors

    async def __aenter__(self) -> Any:
        streams = await self._transport.__aenter__()
        self._errors.close()
        return streams

    async def __aexit__(self, *error: Any) -> Any:
        return await self._transport.__aexit__(*error)


async def tools_of(client: Client) -> list[types.Tool]:
    """All the tools that the server has now."""
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


async def call(client: Client, name: str, arguments: Mapping[str, Any]) -> Result:
    """Call a tool. What the server says of it, and what it does not understand, are results."""
    try:
        result = await client.call_tool(name, dict(arguments))
    except MCPError as error:
        what = "was lost during the call" if error.code == types.CONNECTION_CLOSED else "refuses the call"
        return Result(f"The MCP server {what}: {error.message}", False, {"code": error.code})
    parts = [_shown(part) for part in result.content]
    details: dict[str, Any] = {}
    if result.structured_content is not None:
        details["structured"] = result.structured_content
        if not any(isinstance(part, types.TextContent) for part in result.content):
            parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return Result("\n".join(parts) or "(no output)", not result.is_error, details)


def _shown(part: types.ContentBlock) -> str:
    match part:
        case types.TextContent():
            return part.text
        case types.ImageContent() | types.AudioContent():
            size = len(part.data) * 3 // 4 - part.data[-2:].count("=")  # base64
            return f"[{part.type}: {part.mime_type}, {size:,} bytes]"
        case types.ResourceLink():
            return f"[{part.name}: {part.uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents() as resource):
            return resource.text
        case types.EmbeddedResource(resource=resource):
            return f"[{resource.uri}: {resource.mime_type or 'bytes'}]"


def described(error: BaseException) -> str:
    """What went wrong, for a person: of a group the first, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    said = "no answer in time" if isinstance(error, TimeoutError) else str(error)
    return " ".join(said.split())[:300] or type(error).__name__
