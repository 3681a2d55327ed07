"""The guest: one session's process. It takes its context, locks itself down, and runs one turn after another.

Nothing here is trusted by the server once the first turn has begun: the model's code shares this process and can
change all of it. What it can do to others is up to `lockdown`; what it can say, up to the server's reading of frames.

Frames are 4 bytes of length, big endian, and JSON. To the guest: `start`, `run`, `answer`. From it: `ready`,
`failed`, `call`, `result`.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import itertools
import json
import linecache
import marshal
import mmap
import os
import queue
import random
import signal
import socket
import struct
import sys
import threading
import traceback
import types
from dataclasses import dataclass
from typing import Any, NoReturn

from . import helpers, lockdown, stubs
from .capture import MESSAGE_CHARS, Capture, shortened

SESSION, CONTEXT = 3, 4
"""The only descriptors a guest starts with, beside three of /dev/null."""


@dataclass(frozen=True)
class Cage:
    """What the zygote found out once for all its guests: `lock_down`'s arguments."""

    program: bytes
    landlock: int
    namespaces: bool


class Submitted(BaseException):
    """The turn is over: SUBMIT was called."""


class TimeLimit(BaseException):
    """The turn took too long."""


def main(session: int, context: int, cage: Cage) -> NoReturn:
    """Be the guest. Never returns: no handler, no destructor of the zygote runs here."""
    try:
        os.setsid()
        _keep_only(session, context)
        wire = Wire(socket.socket(fileno=SESSION))
        start = wire.receive()
        loaded = load_context(CONTEXT, start["shape"])
        os.close(CONTEXT)
        random.seed(start["seed"])
        try:
            lockdown.lock_down(
                memory=start["memory"],
                threads=start["threads"],
                descriptors=start["descriptors"],
                program=cage.program,
                landlock=cage.landlock,
                namespaces=cage.namespaces,
            )
        except OSError as error:
            wire.send({"kind": "failed", "message": str(error)})
            os._exit(1)
        guest = Guest(wire, loaded, start)
        wire.send({"kind": "ready"})
        guest.serve()
    finally:
        os._exit(1)


def _keep_only(session: int, context: int) -> None:
    """Close every descriptor but these two and the three of /dev/null."""
    high = [fcntl.fcntl(kept, fcntl.F_DUPFD, CONTEXT + 1) for kept in (session, context)]
    os.dup2(high[0], SESSION)
    os.dup2(high[1], CONTEXT)
    os.closerange(CONTEXT + 1, 2**31 - 1)


def load_context(descriptor: int, shape: str) -> Any:
    """The context that the server wrote: `text` is UTF-8, `list` one marshalled value after another."""
    size = os.fstat(descriptor).st_size
    if not size:
        return "" if shape == "text" else []
    if shape == "text":
        with mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) as pages:
            return str(pages, "utf-8")
    with open(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        items = []
        while file.tell() < size:
            items.append(marshal.load(file))  # noqa: S302 - written by the server, before any guest code ran
        return items


class Wire:
    """Frames over the session's socket. Several threads may send. `longest` is what the server reads, in bytes."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.longest = 1 << 20
        self._lock = threading.Lock()
        self.sending = False
        """The main thread is in the middle of a frame: not the moment to raise in it."""

    def receive(self) -> dict[str, Any]:
        """The next frame from the server. Where there is no server any more, the process ends."""
        frame: dict[str, Any] = json.loads(self._exactly(struct.unpack(">I", self._exactly(4))[0]))
        return frame

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        view, filled = memoryview(data), 0
        while filled < count:
            read = self._end.recv_into(view[filled:])
            if not read:
                os._exit(0)  # the server has left
            filled += read
        return data

    def send(self, frame: dict[str, Any]) -> None:
        """Write a frame whole.

        Raises:
            ValueError: it is longer than the server reads.
        """
        body = json.dumps(frame, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        if len(body) > self.longest:
            raise ValueError(f"{len(body):,} bytes are too many for one call; at most {self.longest:,}")
        main = threading.current_thread() is threading.main_thread()
        if main:
            self.sending = True
        try:
            with self._lock:
                self._end.sendall(struct.pack(">I", len(body)) + body)
        finally:
            if main:
                self.sending = False


class Guest:
    """The namespace that the model's code lives in, and the calls out of it."""

    def __init__(self, wire: Wire, context: Any, start: dict[str, Any]) -> None:
        self._wire = wire
        wire.longest = start["frame_bytes"]
        self._output = Capture(start["output_chars"])
        self._submit_bytes = start["submit_bytes"]
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._turns: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._offered: set[str] = set()
        self._running = False
        self._submitted: dict[str, Any] | None = None
        self._main = types.ModuleType("__main__")
        self._main.__dict__.update(
            __builtins__=builtins,
            context=context,
            question=start["question"],
            SUBMIT=self._submit,
            **helpers.bound_to(lambda: self._main.__dict__["context"]),
        )
        sys.modules["__main__"] = self._main
        sys.argv = [""]
        sys.path.clear()
        sys.stdin = io.StringIO("")
        signal.signal(signal.SIGUSR1, self._interrupt)
        threading.Thread(target=self._read, name="frames", daemon=True).start()

    # --- what the code sees

    def _submit(self, *values: Any, **fields: Any) -> NoReturn:
        """End the turn and hand `values` (or named fields) over as the answer."""
        submitted = stubs.submission(values, fields, self._submit_bytes)
        if self._submitted is None:
            self._submitted = submitted
        raise Submitted

    def call(self, name: str, values: list[Any], fields: dict[str, Any]) -> Any:
        """Ask the server to run a host function and wait for what it says."""
        number = next(self._ids)
        answered: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting[number] = answered
        try:
            self._wire.send({"kind": "call", "id": number, "name": name, "values": values, "fields": fields})
            answer = answered.get()
        finally:
            self._waiting.pop(number, None)
        if answer["error"] is not None:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def _offer(self, names: list[str]) -> None:
        for name in names:
            if name not in self._offered:
                self._main.__dict__[name] = stubs.host_function(self, name)
                self._offered.add(name)

    # --- frames

    def _read(self) -> None:
        while True:
            frame = self._wire.receive()
            if frame["kind"] == "run":
                self._turns.put(frame)
            else:
                waiting = self._waiting.get(frame["id"])
                if waiting is not None:
                    waiting.put(frame)

    def serve(self) -> NoReturn:
        """Run turns until the server leaves."""
        while True:
            with contextlib.suppress(TimeLimit, Submitted):  # raised a moment too late to matter
                self._run(self._turns.get())

    def _run(self, frame: dict[str, Any]) -> None:
        self._submitted = None
        self._output.reset()
        sys.stdout = sys.stderr = self._output
        error = None
        try:
            self._offer(frame["names"])
            self._main.__dict__.update(frame["variables"])
            self._execute(frame["code"], f"<turn {frame['turn']}>")
        except Submitted:
            pass
        except BaseException as raised:  # noqa: BLE001 - whatever the code raises is told to the model
            self._running = False
            error = _describe(raised)
        head, tail, cut = self._output.shown()
        self._wire.send(
            {
                "kind": "result",
                "turn": frame["turn"],
                "head": head,
                "tail": tail,
                "cut": cut,
                "error": error,
                "submitted": self._submitted,
            }
        )

    def _execute(self, code: str, name: str) -> None:
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        compiled = compile(code, name, "exec", dont_inherit=True)
        try:
            self._running = True
            exec(compiled, self._main.__dict__)  # noqa: S102 - what this process is for
        finally:
            self._running = False

    def _interrupt(self, _signal: int, _frame: types.FrameType | None) -> None:
        # The server repeats the signal, so that a moment at which nothing may be raised is not the last one.
        if self._running and not self._wire.sending:
            raise TimeLimit


def _describe(raised: BaseException) -> dict[str, str]:
    """An exception for the model: its class, its message, and the traceback through the model's own code."""
    try:
        frames = [frame for frame in traceback.extract_tb(raised.__traceback__) if frame.filename.startswith("<turn ")]
        lines = traceback.format_list(frames)
        lines += traceback.TracebackException(type(raised), raised, None, compact=True).format_exception_only()
        return {
            "name": str(type(raised).__name__)[:200],
            "message": str(raised)[:MESSAGE_CHARS],
            "traceback": shortened("".join(lines)),
        }
    except BaseException:  # noqa: BLE001 - a `__str__` of the code's own may raise anything
        return {"name": "Exception", "message": "its description could not be made", "traceback": ""}
