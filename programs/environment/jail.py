"""The jail: model-written code in a CPython of its own that can compute and talk to us, and nothing else. Linux only.

    server --control socket--> zygote --fork--> guest (one a session)
       +-------------- session socket ---------------+

The server starts one zygote (`inside.zygote`) by exec, with no environment and no descriptors but its socket. For a
session the server sends it the guest's end of a socket pair and a memory file with the context; the zygote forks, and
the child locks itself down (`inside.lockdown`) before it runs anything. Between turns a guest is stopped, so that
threads it left behind compute nothing. The server takes all that comes from a guest for hostile (`frames`).

A limit first interrupts the code, which keeps its state; if the code does not yield within a second (it computes in C,
or swallows the interruption), the process is killed and the next turn starts afresh.

Before the first session a self-test runs in a real guest. If anything that must fail succeeds, the jail refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import marshal
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from programs.environment import frames
from programs.environment.inside.capture import joined
from programs.environment.inside.stubs import answer
from programs.environment.probes import PROBES, self_test
from programs.environment.protocol import (
    EnvironmentClosed,
    EnvironmentUnavailable,
    GuestError,
    Host,
    HostFunctionFailed,
    ProtocolViolation,
    Turn,
)
from programs.settings import Limits
from programs.transcript import Context

_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside import zygote; zygote.main(int(sys.argv[2]))"
_BOOT_SECONDS = 60.0
_GRACE_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_WRITTEN_ON_THE_LOOP = 1 << 20  # characters
_RESTARTED = (
    "The environment was started again: `context` is there, what earlier turns defined is gone,"
    " what this turn printed is lost."
)


class Jail:
    """Forks guests from a warm zygote. One for a whole server; sessions of different event loops may share it.

    `layers` tells, once it is started, which Landlock version is in force, whether namespaces are, and whether the
    guests run as another user than the server.
    """

    name = "jail"
    dialect = ""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._proved = False
        self.layers: dict[str, int | bool] = {}

    @property
    def pid(self) -> int | None:
        """The zygote's process; None while it is not running."""
        zygote = self._zygote
        return zygote.pid if zygote is not None and zygote.poll() is None else None

    async def start(self) -> None:
        """Start the zygote and run the self-test, unless that is done. `open` does it too; early it saves a second.

        Raises:
            EnvironmentUnavailable: this is not Linux, the kernel lacks a layer, or the self-test failed.
        """
        if self._proved and self.pid is not None:
            return
        await asyncio.to_thread(self._boot)
        session = JailSession(self, "self-test", "", {}, Limits())
        try:
            turn = await session.execute(self_test(os.getpid(), platform.machine()))
        finally:
            await session.aclose()
        told = turn.answer if isinstance(turn.answer, dict) else {}
        through = [f"{name}: {told.get(name, 'not tried')}" for name in PROBES if told.get(name) != "denied"]
        if through:
            await self.aclose()
            said = f" ({turn.error.name}: {turn.error.message})" if turn.error else ""
            raise EnvironmentUnavailable(f"the jail's self-test failed, so it runs nothing. {'; '.join(through)}{said}")
        self._proved = True

    async def open(
        self,
        context: Context,
        *,
        question: str = "",
        host: Host | None = None,
        limits: Limits | None = None,
        seed: int | None = None,
    ) -> JailSession:
        """A session over `context`, its process running and locked down. Close it.

        Raises:
            EnvironmentUnavailable: as `start`.
        """
        await self.start()
        session = JailSession(self, context, question, {} if host is None else host, limits or Limits(), seed=seed)
        await session.begin()
        return session

    async def aclose(self) -> None:
        """End the zygote, and with it every guest. Idempotent."""
        await asyncio.to_thread(self.end)

    def _boot(self) -> None:
        with self._lock:
            if self.pid is not None:
                return
            self._forget()
            if sys.platform != "linux":
                raise EnvironmentUnavailable("the jail needs Linux; choose another environment")
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._control = ours
            with theirs:
                arguments = ["-I", "-S", "-B", "-c", _BOOT, str(Path(__file__).parent), str(theirs.fileno())]
                self._zygote = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, *arguments],
                    env={},
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            ours.settimeout(_BOOT_SECONDS)
            try:
                hello = json.loads(ours.recv(4096) or b'{"failed": "its zygote ended before it was ready"}')
            except TimeoutError:
                hello = {"failed": f"its zygote was not ready in {_BOOT_SECONDS:g} s"}
            if "failed" in hello:
                self._forget()
                raise EnvironmentUnavailable(f"the jail cannot be had here: {hello['failed']}")
            ours.setblocking(False)
            self.layers = hello["layers"]

    def end(self) -> None:
        """As `aclose`, where no event loop runs any more."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        zygote, control = self._zygote, self._control
        self._zygote = self._control = None
        self._proved = False
        if control is not None:
            control.close()
        if zygote is not None:
            zygote.kill()  # its guests die with it
            zygote.wait()

    async def fork(self, session: socket.socket, context: int) -> None:
        """Ask the zygote for a guest with these two descriptors.

        Raises:
            EnvironmentUnavailable: the zygote is gone.
        """
        while True:
            with self._lock:
                control = self._control
                if control is None:
                    raise EnvironmentUnavailable("the jail was closed")
                try:
                    socket.send_fds(control, [b"f"], [session.fileno(), context])
                except BlockingIOError:
                    pass
                except OSError:
                    raise EnvironmentUnavailable(
                        "the jail's zygote has ended; it is started again when asked"
                    ) from None
                else:
                    return
            await asyncio.sleep(0.005)


class _Process:
    """A guest's process, seen from the server."""

    def __init__(self, pidfd: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pidfd = pidfd
        self.reader = reader
        self.writer = writer
        fdinfo = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
        self.pid = next(int(line.split()[1]) for line in fdinfo.splitlines() if line.startswith("Pid:"))
        self._cpu = 0.0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(pidfd, self._on_end)

    def _on_end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self.ended.set_result(None)

    def signal(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def cpu_seconds(self) -> float:
        """What it has computed since it was forked."""
        with contextlib.suppress(OSError):  # ended: what was seen last
            self._cpu = time.clock_gettime(~self.pid << 3 | 2)  # the kernel's name for a process's CPU clock
        return self._cpu

    def post(self, frame: Mapping[str, Any]) -> None:
        """Write a frame without waiting for the guest, which may be stopped, to read."""
        if not self.writer.is_closing():
            self.writer.write(frames.written(frame))

    async def send(self, frame: Mapping[str, Any]) -> None:
        self.post(frame)
        with contextlib.suppress(ConnectionError):  # the reader finds out
            await self.writer.drain()

    async def end(self) -> None:
        """Kill it, and wait until it is no more. Idempotent."""
        self.signal(signal.SIGKILL)
        self.writer.close()
        await asyncio.wait([self.ended])
        pidfd, self._pidfd = self._pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class JailSession:
    """A session in the jail: see `protocol.Session`."""

    def __init__(
        self, jail: Jail, context: Context, question: str, host: Host, limits: Limits, *, seed: int | None = None
    ) -> None:
        self._jail = jail
        self._seed = seed
        self._context = context
        self._question = question
        self._host = host
        self._limits = limits
        self._process: _Process | None = None
        self._turns = 0
        self._longest = 0
        self._lost = False
        self._closed = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The guest's process, as the server numbers it; None while there is none."""
        return self._process.pid if self._process else None

    async def begin(self) -> _Process:
        """The running process; started, if there is none."""
        if self._process is None:
            self._process = await self._fork()
        return self._process

    async def execute(self, code: str, *, variables: Mapping[str, Any] | None = None) -> Turn:
        """Run one turn: see `protocol.Session.execute`."""
        async with self._one_at_a_time:
            if self._closed:
                raise EnvironmentClosed("this session is closed; open another")
            lost, self._lost = self._lost, False
            try:
                process = await self.begin()
                self._turns += 1
                running = _RunningTurn(process, self._turns, self._host, self._limits, self._longest)
                turn = await running.run(code, variables or {}, fresh=lost)
            except BaseException as error:
                self._lost = True
                self._closed = self._closed or isinstance(error, ProtocolViolation)
                await self._drop()
                if self._closed and isinstance(error, frames.GuestGone):
                    raise EnvironmentClosed("this session was closed while it ran") from None
                if isinstance(error, frames.GuestGone):
                    self._lost = False
                    return running.lost()
                raise
            return turn

    async def aclose(self) -> None:
        """End the process and every open host call. Idempotent."""
        self._closed = True
        await self._drop()
        async with self._one_at_a_time:
            await self._drop()

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.end()

    async def _fork(self) -> _Process:
        context = os.memfd_create("context")
        try:
            shape = "text" if isinstance(self._context, str) else "list"
            if shape == "text" and len(self._context) <= _WRITTEN_ON_THE_LOOP:
                _write_context(context, self._context)
            else:
                writing = asyncio.create_task(asyncio.to_thread(_write_context, context, self._context))
                try:
                    await asyncio.shield(writing)
                finally:
                    await asyncio.wait([writing])  # a thread cannot be cancelled, and the descriptor is still its own
            size = os.fstat(context).st_size
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            try:
                with theirs:
                    await self._jail.fork(theirs, context)
                pidfd = await _receive_pidfd(ours)
            except BaseException:
                ours.close()
                raise
        finally:
            os.close(context)
        limits = self._limits
        self._longest = (16 << 20) + limits.submit_bytes + 8 * limits.output_chars + 2 * size
        try:
            reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        except BaseException:
            ours.close()  # the guest ends by itself
            os.close(pidfd)
            raise
        process = _Process(pidfd, reader, writer)
        try:
            await process.send(
                {
                    "kind": "start",
                    "shape": shape,
                    "question": self._question,
                    "seed": self._seed,
                    "memory": limits.memory_base + int(limits.memory_per_context_byte * size),
                    "threads": limits.threads,
                    "descriptors": limits.descriptors,
                    "output_chars": limits.output_chars,
                    "submit_bytes": limits.submit_bytes,
                    "frame_bytes": self._longest,
                }
            )
            said = await frames.read_frame(reader, await frames.read_size(reader, 1 << 16))
        except frames.GuestGone:
            await process.end()
            raise EnvironmentUnavailable("a guest of the jail ended before it was locked down") from None
        except BaseException:
            await process.end()
            raise
        if not isinstance(said, frames.Ready):
            await process.end()
            why = said.message if isinstance(said, frames.Failed) else said.kind
            raise EnvironmentUnavailable(f"a guest of the jail could not be locked down: {why}")
        return process


def _write_context(descriptor: int, context: Context) -> None:
    """Lay the context into a memory file, piece by piece, so that it is not twice in our own memory."""
    with open(descriptor, "wb", closefd=False) as file:
        if isinstance(context, str):
            for start in range(0, len(context), _WRITTEN_ON_THE_LOOP):
                file.write(context[start : start + _WRITTEN_ON_THE_LOOP].encode("utf-8", "replace"))
        else:
            for item in context:
                marshal.dump(item, file)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _receive_pidfd(end: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(end, _resolve, readable)
    try:
        await readable
    finally:
        loop.remove_reader(end)
    _, received, _, _ = socket.recv_fds(end, 1, 1)
    if not received:
        raise EnvironmentUnavailable("the jail could not fork: too many processes or descriptors, or its zygote ended")
    return received[0]


class _RunningTurn:
    """One turn while it runs: its clock, its open host calls, its end."""

    def __init__(self, process: _Process, number: int, host: Host, limits: Limits, longest: int) -> None:
        self._process = process
        self._number = number
        self._host = host
        self._limits = limits
        self._longest = longest
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._bytes = 0
        self._asked = 0
        self._failure: BaseException | None = None
        self._stopped: GuestError | None = None
        self._cpu_before = process.cpu_seconds()
        self._since: float | None = time.monotonic()
        self._ran = 0.0

    # --- the clock

    def _wall_seconds(self) -> float:
        return self._ran + (time.monotonic() - self._since if self._since is not None else 0.0)

    def _cpu_seconds(self) -> float:
        return self._process.cpu_seconds() - self._cpu_before

    async def _watch(self) -> None:
        limits = self._limits
        while True:
            wall, cpu = limits.wall_seconds - self._wall_seconds(), limits.cpu_seconds - self._cpu_seconds()
            if wall <= 0 or cpu <= 0:
                break
            await asyncio.sleep(min(_LOOK_SECONDS, max(0.001, min(wall, cpu))))
        used = f"{limits.wall_seconds:g} s" if wall <= 0 else f"{limits.cpu_seconds:g} s of CPU time"
        self._stopped = GuestError("TimeLimit", f"Stopped after {used}.")
        until = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < until:
            self._process.signal(signal.SIGUSR1)
            await asyncio.sleep(_LOOK_SECONDS)
        self._process.signal(signal.SIGKILL)

    # --- the turn

    async def run(self, code: str, variables: Mapping[str, Any], *, fresh: bool) -> Turn:
        """The turn's end.

        Raises:
            frames.GuestGone: the process ended; `lost` tells it.
            ProtocolViolation: it wrote what it should not.
        """
        process = self._process
        watch = asyncio.create_task(self._watch())
        try:
            process.signal(signal.SIGCONT)
            await process.send(
                {
                    "kind": "run",
                    "turn": self._number,
                    "code": code,
                    "names": list(self._host),
                    "variables": dict(variables),
                }
            )
            result = await self._until_result()
            process.signal(signal.SIGSTOP)
        except frames.GuestGone:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            open_calls = dict(self._calls)
            for task in (watch, *open_calls.values()):
                task.cancel()
            await asyncio.gather(watch, *open_calls.values(), return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        for number in open_calls:  # of threads that the code left behind
            process.post({"kind": "answer", "id": number, "value": None, "error": "its turn has ended"})
        return self._told(result, fresh=fresh)

    async def _until_result(self) -> frames.Result:
        reader = self._process.reader
        while True:
            size = await frames.read_size(reader, self._longest)
            while self._calls and (
                len(self._calls) >= self._limits.host_calls or self._bytes + size > 2 * self._longest
            ):
                await asyncio.wait([*self._calls.values(), self._process.ended], return_when=asyncio.FIRST_COMPLETED)
                if self._process.ended.done():
                    raise frames.GuestGone
            frame = await frames.read_frame(reader, size)
            if isinstance(frame, frames.Call):
                self._start(frame, size)
            elif isinstance(frame, frames.Result) and frame.turn == self._number:
                return frame
            else:
                raise ProtocolViolation(f"the guest wrote a {frame.kind!r} frame out of turn")

    def _told(self, result: frames.Result, *, fresh: bool) -> Turn:
        shown = len(result.head) + len(result.tail)
        if shown > self._limits.output_chars:
            raise ProtocolViolation(f"the guest showed {shown:,} characters; at most {self._limits.output_chars:,}")
        error = GuestError(**result.error.model_dump()) if result.error else None
        if error is not None and error.name == "TimeLimit" and self._stopped is not None:
            error = GuestError(
                self._stopped.name, f"{self._stopped.message} What was defined before is kept.", error.traceback
            )
        submitted = result.submitted
        return Turn(
            stdout=joined(result.head, result.tail, result.cut),
            error=error,
            submitted=submitted is not None,
            answer=answer(submitted.values, submitted.fields) if submitted is not None else None,
            wall_seconds=self._wall_seconds(),
            cpu_seconds=self._cpu_seconds(),
            fresh=fresh,
        )

    def lost(self) -> Turn:
        """The turn, when the process did not outlive it."""
        stopped = self._stopped
        if stopped is not None:
            error = GuestError(stopped.name, f"{stopped.message} It could not be interrupted. {_RESTARTED}")
        else:
            error = GuestError(
                "EnvironmentLost", f"The process ended: out of memory, a crash, or an exit. {_RESTARTED}"
            )
        return Turn(
            stdout="", error=error, wall_seconds=self._wall_seconds(), cpu_seconds=self._cpu_seconds(), fresh=True
        )

    # --- host calls

    def _start(self, call: frames.Call, size: int) -> None:
        if call.id in self._calls:
            raise ProtocolViolation("the guest used the number of an open call again")
        if call.name not in self._host:
            raise ProtocolViolation("the guest called a host function that there is not")
        _check_arguments(call)
        if not self._asked and self._since is not None:
            self._ran += time.monotonic() - self._since
            self._since = None
        self._asked += 1
        self._bytes += size
        self._calls[call.id] = asyncio.create_task(self._answer(call, size))

    async def _answer(self, call: frames.Call, size: int) -> None:
        try:
            try:
                value, failed = await self._host[call.name](*call.values, **call.fields), None
            except HostFunctionFailed as error:
                value, failed = None, str(error)
            finally:
                self._asked -= 1
                if not self._asked:  # here, not below: a guest that reads no answers waits on its own time
                    self._since = time.monotonic()
            await self._process.send({"kind": "answer", "id": call.id, "value": value, "error": failed})
        except Exception as error:  # noqa: BLE001 - not the guest's to see: it leaves `execute`
            self._failure = self._failure or error
            self._process.signal(signal.SIGKILL)
        finally:
            self._bytes -= size
            del self._calls[call.id]


def _check_arguments(call: frames.Call) -> None:
    """The three functions we know take what their stubs send; anything else was forged."""
    match call.name, call.values:
        case "llm_query", [str()]:
            fits = True
        case "llm_query_batched", [[*prompts]]:
            fits = all(isinstance(prompt, str) for prompt in prompts)
        case "rlm_query", [str(), str()]:
            fits = True
        case "rlm_query", [str(), [*items]]:
            fits = all(isinstance(item, str) for item in items) or all(map(_is_message, items))
        case _:
            fits = call.name not in {"llm_query", "llm_query_batched", "rlm_query"}
            if fits:
                return
    if not fits or call.fields:
        raise ProtocolViolation(f"the guest called {call.name} with arguments that it does not take")


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict) and item.keys() == {"role", "content"} and all(isinstance(x, str) for x in item.values())
    )
