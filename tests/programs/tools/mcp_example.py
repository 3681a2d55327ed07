"""A real MCP server, made with the SDK: `mcp_example.py (stdio|http PORT) [SECRET FILE]`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent, ToolAnnotations

server = MCPServer("example", log_level="ERROR")
started = time.time_ns()


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def record(path: str, line: str) -> str:
    """Appends a line to a file."""
    with Path(path).open("a") as file:
        file.write(line + "\n")
    return "recorded"


@server.tool(structured_output=False)
def picture() -> list[Any]:
    """A picture, and a word on it."""
    return ["A pixel:", Image(data=b"\x89PNG....", format="png")]


@server.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ToolError(why)


@server.tool()
def refuse() -> CallToolResult:
    """Says that it failed."""
    return CallToolResult(content=[TextContent(text="I refuse")], is_error=True)


@server.tool()
async def sleep(seconds: float, path: str) -> str:
    """Sleeps; leaves a note in the file when it is cancelled."""
    await anyio.Path(path).write_text("begun")
    try:
        await anyio.sleep(seconds)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.Path(path).write_text("cancelled")
        raise
    return "slept"


@server.tool()
def crash() -> str:
    """Ends the server."""
    os.write(2, b"I am going down\n")
    os._exit(3)


@server.tool()
def birth() -> str:
    """When the server was started."""
    return str(started)


@server.tool()
def variables() -> str:
    """The names of the variables that it sees."""
    return " ".join(sorted(os.environ))


@server.tool()
def noise(lines: int) -> str:
    """Prints on both its outputs."""
    for _ in range(lines):
        os.write(2, b"x" * 1000 + b"\n")
    return "said"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", port=int(sys.argv[2]))
