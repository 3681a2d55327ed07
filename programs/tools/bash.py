"""`bash`: a command line in the workspace, behind the walls of `programs.environment.commands`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from programs.environment.commands import LONGEST_COMMAND, CommandFailed, Commands, Ran
from programs.errors import ToolFailed
from programs.settings import BashSettings
from programs.tools import arguments as takes
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
        workspace, workdir = await asyncio.to_thread(_folders, caller.workspace, arguments.get("workdir") or ".")
        timeout = arguments["timeout"] / 1000 if arguments.get("timeout") else settings.timeout_seconds
        timeout = min(timeout, settings.max_timeout_seconds)
        try:
            ran = await commands.run(arguments["command"], workspace=workspace, workdir=workdir, timeout=timeout)
        except CommandFailed as error:
            raise ToolFailed(f"The command was not run: {error}.") from error
        return _told(ran, timeout, settings)

    return GatewayTool(_described(settings), execute, changes=True)


def _folders(workspace: Path, workdir: str) -> tuple[Path, Path]:
    """The workspace, and where to start beneath it; both without links."""
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        root, start = Path(os.path.realpath(workspace)), Path(os.path.realpath(workspace / workdir))
        if start.is_relative_to(root) and start.is_dir():
            return root, start
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ToolFailed(f"workdir: {error}") from error
    raise ToolFailed(f"workdir: {workdir} is not a folder of the workspace")


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
        parameters=takes.takes(
            ["command"],
            command=takes.text("The command line.", LONGEST_COMMAND, 1),
            description=takes.text("What the command does, in five to ten words.", 200),
            timeout=takes.number(
                f"Milliseconds it may take. Default {settings.timeout_seconds * 1000:.0f}.",
                1,
                int(settings.max_timeout_seconds * 1000),
            ),
            workdir=takes.path("The folder to start in, relative to the workspace. Default: the workspace."),
        ),
    )
