"""Command lines of bash that can write their workspace and nothing else. Linux only.

Each command runs in processes of its own, behind walls that `inside.command` builds and `inside.walls` describes; this
is the server's side of it. Before the first command a self-test tries what must fail. If any of it succeeds, or the
kernel lacks a wall, there are no commands: nothing runs them otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from programs.environment.protocol import EnvironmentUnavailable
from programs.errors import RantsError
from programs.settings import BashSettings

LONGEST_COMMAND = 100_000
"""Bytes of a command line; the kernel takes little more as one argument."""

_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside import command; command.main()"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ_BYTES = 1 << 16
_SELF_TEST_SECONDS = 60.0
_GRACE_SECONDS = 60.0  # on a machine that a command keeps busy; ending the warden is the worse way


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command.

    Attributes:
        output: what it printed on both streams, in order.
        left_out: how many bytes are missing in the middle of it.
        code: bash's exit code, negative for a signal; None when the command was stopped.
        stopped: what it had too much of, where it was stopped.
    """

    output: str
    left_out: int
    code: int | None
    stopped: Literal["time", "output", "processes"] | None = None


class CommandFailed(RantsError):
    """A command could not be started; its message says why."""


class Commands:
    """Runs command lines of bash in workspaces. One for a whole server.

    `layers` tells, once it is started, which Landlock version is in force, whether namespaces are, and whether the
    commands have a /proc of their own.

    Args:
        settings: what commands may use.
        namespaces: whether to put them into namespaces; None where they are allowed.
    """

    def __init__(self, settings: BashSettings, *, namespaces: bool | None = None) -> None:
        self._settings = settings
        self._choice = [True, False] if namespaces is None else [namespaces]
        self._namespaces: bool | None = None
        self._starting = asyncio.Lock()
        self.layers: dict[str, int | bool] = {}

    async def start(self) -> None:
        """Run the self-test, unless that is done. `run` does it too.

        Raises:
            EnvironmentUnavailable: this is not Linux, there is no bash, the kernel lacks a wall, or the self-test
                failed.
        """
        async with self._starting:
            if self._namespaces is not None:
                return
            if sys.platform != "linux":
                raise EnvironmentUnavailable("commands need Linux, whose kernel can keep them in their workspace")
            refused = []
            for namespaces in self._choice:
                try:
                    await self._self_test(namespaces)
                except (CommandFailed, OSError) as error:
                    refused.append(f"{'with' if namespaces else 'without'} namespaces: {error}")
                else:
                    self._namespaces = namespaces
                    return
            raise EnvironmentUnavailable(f"commands cannot be kept in their workspace here: {'; '.join(refused)}")

    async def run(
        self,
        command: str,
        *,
        workspace: Path,
        workdir: Path | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it ends the command, not the caller
    ) -> Ran:
        """Run a command line, with its output read as it comes. When the caller is cancelled all of it is killed.

        Args:
            command: for `bash -c`.
            workspace: the folder that it may write; an absolute path without links.
            workdir: where it starts; by default the workspace.
            timeout: seconds; by default, and at most, what the settings say.

        Raises:
            CommandFailed: it could not be started: no such folder, or a limit of this system.
            EnvironmentUnavailable: as `start`.
        """
        await self.start()
        longest = self._settings.max_timeout_seconds
        seconds = min(self._settings.timeout_seconds if timeout is None else timeout, longest)
        ran, _ = await self._run(command, workspace, workdir or workspace, seconds, namespaces=bool(self._namespaces))
        return ran

    async def _run(
        self, command: str, workspace: Path, workdir: Path, seconds: float, *, namespaces: bool
    ) -> tuple[Ran, dict[str, int | bool]]:
        bash = shutil.which("bash", path=_PATH)
        if bash is None:
            raise CommandFailed("there is no bash in " + _PATH)
        if len(command.encode()) > LONGEST_COMMAND or "\0" in command:
            raise CommandFailed(f"a command is text of at most {LONGEST_COMMAND:,} bytes; write a script and run that")
        async with _scratch() as scratch:
            order = {
                "bash": bash,
                "command": command,
                "workspace": str(workspace),
                "workdir": str(workdir),
                "scratch": str(scratch),
                "own_table": namespaces,
                "network": self._settings.network,
                "readable": [str(path.expanduser()) for path in self._settings.readable],
                "environment": self._environment(workspace),
                "memory": self._settings.memory,
                "processes": self._settings.processes,
                "file_bytes": self._settings.file_bytes,
                "descriptors": self._settings.descriptors,
            }
            async with _launched(order) as launcher:
                output = _Output(self._settings.output_bytes)
                stopped: Literal["time", "output", "processes"] | None = None
                told: dict[str, Any] = {}
                try:
                    async with asyncio.timeout(seconds):
                        if await output.read(launcher.stdout, self._settings.flood_bytes):
                            told = await launcher.told()  # may take a while: bash can run on with its output closed
                        else:
                            stopped = "output"
                except TimeoutError:
                    stopped = "time"
        if "failed" in told:
            raise CommandFailed(told["failed"])
        if told.get("stopped") == "processes":
            stopped = "processes"
        ran = Ran(output.text(), output.left_out, None if stopped else told.get("code"), stopped)
        return ran, told.get("layers", {})

    def _environment(self, workspace: Path) -> dict[str, str]:
        own = {"PATH": _PATH, "HOME": str(workspace), "LANG": "C.UTF-8", "TERM": "dumb"}
        return own | self._settings.environment

    async def _self_test(self, namespaces: bool) -> None:
        with _targets() as (workspace, outside, secret, server):
            probes = _probes(outside, server.getsockname()[1], network=self._settings.network)
            ran, layers = await self._run(probes, workspace, workspace, _SELF_TEST_SECONDS, namespaces=namespaces)
            through = [line for line in ran.output.splitlines() if line != "done"]
            through += [f"{folder} was written" for folder in outside if not _is_untouched(folder, secret)]
            if ran.stopped:
                raise CommandFailed(f"the self-test took too much {ran.stopped}")
            if secret in ran.output:
                through.append("a secret was read")
            if not self._settings.network and _was_called(server):
                through.append("the server was called")
            if not (workspace / "written").exists() or "done" not in ran.output:
                through.append("the workspace cannot be written")
        if through:
            raise EnvironmentUnavailable(f"the self-test of commands failed, so none is run. {'; '.join(through)}")
        self.layers = layers


# --- one command's processes ----------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _scratch() -> AsyncIterator[Path]:
    """A folder that is gone in the end, whatever a command has made of it."""
    try:
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="rants-command-"))
    except OSError as error:
        raise CommandFailed(f"there is no temporary folder: {error}") from error
    try:
        yield scratch
    finally:
        removing = asyncio.create_task(asyncio.to_thread(_remove, scratch))
        await asyncio.shield(removing)


def _remove(folder: Path) -> None:
    def open_up(_: object, path: str, error: BaseException) -> None:
        """A command may have taken our own rights from its folders."""
        if isinstance(error, PermissionError):
            with contextlib.suppress(OSError):
                for closed in (Path(path).parent, Path(path)):
                    if not closed.is_symlink() and closed.is_relative_to(folder):
                        closed.chmod(0o700)

    for _ in range(100):  # folders in folders, each closed
        shutil.rmtree(folder, onexc=open_up)
        if not folder.exists():
            return


class _Launcher:
    """The launcher of a command, and the pipes to it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.stdin = cast(StreamWriter, process.stdin)
        self.stdout = cast(StreamReader, process.stdout)
        self._stderr = cast(StreamReader, process.stderr)

    async def told(self) -> dict[str, Any]:
        """How the command ended, as the warden tells it."""
        said = await self._stderr.read(_READ_BYTES)
        try:
            told: dict[str, Any] = json.loads(said.partition(b"\n")[0])
        except ValueError:
            why = said[-500:].decode(errors="replace") or "it was killed"
            raise CommandFailed(f"its launcher broke: {why}") from None
        return told

    async def end(self) -> None:
        """Wait until it has killed the command and ended, and make it end when it does not."""
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                for pipe in (self.stdout, self._stderr):  # an ending is told only after their ends
                    while await pipe.read(_READ_BYTES):
                        pass
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def _launched(order: dict[str, Any]) -> AsyncIterator[_Launcher]:
    """A launcher, with its order given. In the end it is no more, and so is all that it started."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", _BOOT, str(Path(__file__).parent)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise CommandFailed(f"this system starts no more processes: {error}") from error
    launcher = _Launcher(process)
    try:
        launcher.stdin.write(json.dumps(order).encode() + b"\n")
        yield launcher
    finally:
        launcher.stdin.close()  # kills the command
        await asyncio.shield(asyncio.create_task(launcher.end()))


class _Output:
    """The first and the last of what is printed."""

    def __init__(self, most: int) -> None:
        self._head, self._tail = bytearray(), bytearray()
        self._most_head, self._most_tail = most - most // 4, most // 4
        self.seen = 0

    async def read(self, pipe: StreamReader, until: int) -> bool:
        """Read to the end and give True, or False when more than `until` bytes were seen in all."""
        while part := await pipe.read(_READ_BYTES):
            self.seen += len(part)
            room = self._most_head - len(self._head)
            self._head += part[:room]
            self._tail += part[room:] if room > 0 else part
            if len(self._tail) > self._most_tail + _READ_BYTES:
                del self._tail[: len(self._tail) - self._most_tail]
            if self.seen > until:
                return False
        return True

    @property
    def left_out(self) -> int:
        """Bytes between the first and the last that are kept."""
        return self.seen - len(self._head) - min(len(self._tail), self._most_tail)

    def text(self) -> str:
        """What is kept; a line says what is missing."""
        tail = self._tail[max(0, len(self._tail) - self._most_tail) :]
        if not self.left_out:
            return (self._head + tail).decode(errors="replace")
        missing = f"\n... {self.left_out:,} bytes left out ...\n"
        return self._head.decode(errors="replace") + missing + tail.decode(errors="replace")


# --- the self-test ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _targets() -> Iterator[tuple[Path, list[Path], str, socket.socket]]:
    """A workspace; folders outside of it, each with a secret; the secret; and a server that nobody should call."""
    secret = os.urandom(16).hex()
    with contextlib.ExitStack() as stack:
        workspace = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rants-")))
        places = [None, *(place for place in ("/var/tmp",) if os.access(place, os.W_OK))]  # noqa: S108
        outside = []
        for place in places:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rants-", dir=place)))
            (folder / "secret").write_text(secret, encoding="ascii")
            outside.append(folder)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.setblocking(False)
        yield workspace, outside, secret, server


def _is_untouched(folder: Path, secret: str) -> bool:
    return [path.name for path in folder.iterdir()] == ["secret"] and (folder / "secret").read_text() == secret


def _was_called(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _probes(outside: list[Path], port: int, *, network: bool) -> str:
    """A command line that prints `done`, and a line for each thing that should have failed and did not."""
    attempts = {
        "signal the server": f"kill -0 {os.getpid()}",
        "read the server's environment": f"cat /proc/{os.getpid()}/environ",
        "list the root folder": "ls /",
    }
    for folder in outside:
        quoted = shlex.quote(str(folder))
        attempts |= {
            f"read a file in {folder}": f"cat {quoted}/secret",
            f"read {folder} by a link": f"ln -sf {quoted}/secret link && cat link",
            f"read {folder} through /proc": f"cat /proc/self/root{quoted}/secret",
            f"list {folder}": f"ls {quoted}",
            f"write in {folder}": f"echo x > {quoted}/written",
            f"append to a file in {folder}": f"echo x >> {quoted}/secret",
            f"remove a file in {folder}": f"rm {quoted}/secret",
            f"move a file into {folder}": f"echo x > moved && mv moved {quoted}/moved",
        }
    if not network:
        attempts["call a server"] = f"echo x > /dev/tcp/127.0.0.1/{port}"
    lines = ['attempt() { if ( eval "$2" ) >/dev/null 2>&1; then echo "$1: it got through"; fi; }']
    lines += [f"attempt {shlex.quote(name)} {shlex.quote(code)}" for name, code in attempts.items()]
    lines += ["echo x > written && cat written >/dev/null && test \"$(bash -c 'echo run')\" = run && echo done"]
    return "\n".join(lines)
