"""`bash`: a command line in the workspace, behind the walls of `programs.environment.commands`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from programs.environment.commands import LONGEST_COMMAND, CommandFailed, Commands, Ran
from programs.settings import BashSettings
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.transcript import Tool


async def bash_tool(settings: BashSettings, commands: Commands | None = None) -> GatewayTool:
    """The tool, once commands have passed their self-test.

    Args:
        settings: of the tool.
        commands: what runs them; by default one that is made of `settings`.

    Raises:
        EnvironmentUnavailable: commands cannot be kept in their workspace here; the tool must then not be offered.
    """
    commands = commands or Commands(settings)
    await commands.start()

    async def execute(arguments: Mapping[str, Any], caller: Caller) -> Result:
        try:
            workspace, workdir = await asyncio.to_thread(_folders, caller.workspace, arguments.get("workdir") or ".")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            return Result(f"workdir: {error}", ok=False)
        if workdir is None:
            return Result(f"workdir: {arguments['workdir']} is not a folder of the workspace", ok=False)
        timeout = arguments["timeout"] / 1000 if arguments.get("timeout") else settings.timeout_seconds
        timeout = min(timeout, settings.max_timeout_seconds)
        try:
            ran = await commands.run(arguments["command"], workspace=workspace, workdir=workdir, timeout=timeout)
        except CommandFailed as error:
            return Result(f"The command was not run: {error}.", ok=False)
        return _told(ran, timeout, settings)

    return GatewayTool(_described(settings), execute, changes=True)


def _folders(workspace: Path, workdir: str) -> tuple[Path, Path | None]:
    """The workspace, and where to start; None where that is no folder beneath it. Both without links."""
    workspace.mkdir(parents=True, exist_ok=True)
    root, start = Path(os.path.realpath(workspace)), Path(os.path.realpath(workspace / workdir))
    return root, start if start.is_relative_to(root) and start.is_dir() else None


def _told(ran: Ran, timeout: float, settings: BashSettings) -> Result:
    match ran.stopped:
        case "time":
            note = f"The command was stopped: it took longer than {timeout:g} s. Give `timeout` for more."
        case "output":
            note = f"The command was stopped: it printed more than {settings.flood_bytes:,} bytes."
        case "processes":
            note = f"The command was stopped: it had more than {settings.processes:,} processes."
        case None if ran.code == 0:
            note = "" if ran.output else "(no output)"
        case None:
            note = f"Exit code {ran.code}."
    output = ran.output + ("\n" if note and ran.output and not ran.output.endswith("\n") else "") + note
    details = {"exit_code": ran.code, "stopped": ran.stopped, "bytes_left_out": ran.left_out}
    return Result(output, ok=ran.code == 0, details=details)


def _described(settings: BashSettings) -> Tool:
    network = "with" if settings.network else "without"
    return Tool(
        name="bash",
        description=(
            "Runs a command line of bash in the workspace and gives what it prints. Each call starts anew: nothing"
            f" runs on when it ends, and only files remain. It runs {network} network, can write in the workspace and"
            " in $TMPDIR, and sees no other files but the system's. Nobody answers a question that a program asks."
        ),
        parameters={
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "description": "The command line.",
                    "minLength": 1,
                    "maxLength": LONGEST_COMMAND,
                },
                "description": {
                    "type": "string",
                    "description": "What the command does, in five to ten words.",
                    "maxLength": 200,
                },
                "timeout": {
                    "type": "integer",
                    "description": f"Milliseconds it may take. Default {settings.timeout_seconds * 1000:.0f}.",
                    "minimum": 1,
                    "maximum": int(settings.max_timeout_seconds * 1000),
                },
                "workdir": {
                    "type": "string",
                    "description": "The folder to start in, relative to the workspace. Default: the workspace.",
                    "maxLength": 1024,
                },
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    )
