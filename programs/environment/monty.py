"""Monty: model-written code in an interpreter of its own, written in Rust, that knows a part of Python. Any system.

    server --feed--> worker (one process a session)
       |  <--call--     stands still until it is answered
       +-------------> reader (a CPython for the helpers)

The worker can reach nothing: what code asks of a system (a file, the environment, a module) comes to us as a call, and
we refuse it. Host functions, `SUBMIT` and the helpers are such calls too, so the interpreter's clock does not run
while they do. A worker is not used for a second session.

A session is one thread, so the time it runs, with its helpers, is at once its wall clock and its CPU time, and the
smaller of the two limits holds. The interpreter keeps its limits itself, and no promise about its state after it was
stopped in mid-operation: the session then starts afresh, as it does when its memory is full. Should the server be
killed, a worker ends when it next looks up, at its time limit.

Before the first session a self-test runs in a real worker. If anything that must fail succeeds, it refuses.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic_monty import (
    AsyncFunctionSnapshot,
    AsyncMonty,
    AsyncMontySession,
    AsyncNameLookupSnapshot,
    AsyncSnapshot,
    ExcType,
    ExternalResult,
    MontyComplete,
    MontyCrashedError,
    MontyError,
    MontyRuntimeError,
    MontySyntaxError,
)

from programs.environment.inside import stubs
from programs.environment.inside.capture import MESSAGE_CHARS, Capture, joined, shortened
from programs.environment.protocol import (
    EnvironmentClosed,
    EnvironmentUnavailable,
    GuestError,
    Host,
    HostFunctionFailed,
    Turn,
)
from programs.environment.reader import HELPERS, HelperFailed, Reader
from programs.settings import Limits
from programs.transcript import Context

_DIALECT = (
    "This Python knows only a part of the language. There is no `yield` (build a list), no `del`, no class inheritance"
    " (so no exceptions or enums of your own), no @property, @staticmethod or @classmethod, no __len__ or __lt__ of"
    " your own, no callable(), globals(), dir() or vars(). Modules: asyncio, base64, bisect, collections (Counter,"
    " defaultdict, deque, namedtuple), copy, csv, dataclasses, datetime, decimal, functools (cache, lru_cache, partial,"
    " reduce), hashlib, itertools, json, math, random, re, time, typing, unicodedata; not statistics, string, textwrap,"
    " operator, heapq, io or threading. `re.sub` takes no function, `span`, `start` and `end` no group's name, and"
    " there is no re.X. str has no translate or maketrans, json.dumps no default=. A generator expression is a list:"
    " no next() on it. llm_query, llm_query_batched, rlm_query and the helpers cannot be called from within map,"
    " filter, a sort key or a method like __str__: call them in a loop or a comprehension. Slicing a long text in a"
    " loop is slow: take chunks(size), split() or splitlines()."
)

_MOST_SESSIONS = 10_000
_ENOUGH_CALLS = 10**9
_HELP = "_help"
# A text that is what it was at the start need not be sent; a list may have been changed in place.
_PRELUDE = "_given = context\n" + "".join(
    f"def {name}(*values, **fields):\n"
    f"    same = context is _given and isinstance(context, str)\n"
    f"    return {_HELP}({name!r}, [] if same else [context], values, fields)\n"
    for name in HELPERS
)
_TURN_ENDS = "the turn ends"
_RESTARTED = "The environment was started again: `context` is there, what earlier turns defined is gone."
_SYNCHRONOUS = "cannot suspend in this synchronous context"
_HINT = (
    "host functions and helpers cannot be called here from within map, filter, a sort key or a method like __str__;"
    " call them in a loop or a comprehension"
)
_RAISED_BY_HELPERS: dict[str, ExcType] = {
    "MemoryError": "MemoryError",
    "OverflowError": "OverflowError",
    "PatternError": "re.PatternError",
    "TypeError": "TypeError",
    "ValueError": "ValueError",
}

_DENIED = {"PermissionError", "RuntimeError", "ModuleNotFoundError"}
_PROBES = {
    "open a file": "open({file!r})",
    "write a file": "open({file!r}, 'a')",
    "read a file": "from pathlib import Path; Path({file!r}).read_text()",
    "list a directory": "import os; os.listdir({folder!r})",
    "read the environment": "import os; os.environ['PATH']",
    "read a variable": "import os; os.getenv('PATH')",
    "import socket": "import socket",
    "import subprocess": "import subprocess",
    "import ctypes": "import ctypes",
}


class Monty:
    """Gives each session a worker of a warm pool. One for a whole server; sessions of different loops may share it.

    Sessions that are open when it is closed stay so until they are closed themselves.
    """

    name = "monty"
    dialect = _DIALECT

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: AsyncMonty | None = None
        self._proved = False

    async def start(self) -> None:
        """Start the pool and run the self-test, unless that is done. `open` does it too.

        Raises:
            EnvironmentUnavailable: there is no worker to be had, or the self-test failed.
        """
        if self._proved:
            return
        await asyncio.to_thread(self._boot)
        session = MontySession(self, "", "", {}, Limits())
        through = []
        try:
            for name, code in _PROBES.items():
                turn = await session.execute(code.format(file=__file__, folder=str(Path(__file__).parent)))
                if turn.error is None or turn.error.name not in _DENIED:
                    through.append(f"{name}: {turn.error or 'it got through'}")
        finally:
            await session.aclose()
        if through:
            await self.aclose()
            raise EnvironmentUnavailable(f"monty's self-test failed, so it runs nothing. {'; '.join(through)}")
        self._proved = True

    async def open(
        self,
        context: Context,
        *,
        question: str = "",
        host: Host | None = None,
        limits: Limits | None = None,
        seed: int | None = None,
    ) -> MontySession:
        """A session over `context`, with its worker running. Close it. Monty's `random` takes no seed from outside.

        Raises:
            EnvironmentUnavailable: as `start`, or the context does not fit into the limits.
        """
        await self.start()
        session = MontySession(self, context, question, {} if host is None else host, limits or Limits())
        await session.begin()
        return session

    async def aclose(self) -> None:
        """End the workers that wait for a session. Idempotent."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._proved = False
        if pool is not None:
            await pool.__aexit__(None, None, None)

    def _boot(self) -> None:
        async def entered(pool: AsyncMonty) -> None:
            await pool.__aenter__()

        with self._lock:
            if self._pool is not None:
                return
            try:
                pool = AsyncMonty(max_processes=_MOST_SESSIONS, max_checkouts_per_worker=1)
                asyncio.run(entered(pool))  # not on the caller's loop: callers of several may wait for the lock
            except (OSError, RuntimeError) as error:
                raise EnvironmentUnavailable(f"monty cannot be had here: {error}") from None
            self._pool = pool

    async def worker(self, inputs: dict[str, Any], *, seconds: float, memory: int) -> AsyncMontySession:
        """A worker that knows `inputs` and the helpers.

        Raises:
            EnvironmentUnavailable: there is none to be had, or `inputs` are too long.
        """
        pool = self._pool
        if pool is None:
            raise EnvironmentUnavailable("monty was closed")
        worker = pool.checkout(
            limits={"max_feed_duration_secs": seconds, "max_memory": memory, "max_suspensions": _ENOUGH_CALLS},
            os_policy={"sleep": "zero"},
            assert_message_annotations=False,
        )
        try:
            await worker.__aenter__()
            await worker.feed_run(_PRELUDE, inputs=inputs)
        except (RuntimeError, MontyError) as error:
            await worker.__aexit__(None, None, None)
            raise EnvironmentUnavailable(f"monty has no worker for this context: {error}") from None
        except BaseException:
            await worker.__aexit__(None, None, None)
            raise
        return worker


class MontySession:
    """A session in monty: see `protocol.Session`."""

    def __init__(self, monty: Monty, context: Context, question: str, host: Host, limits: Limits) -> None:
        self._monty = monty
        self._context = _sayable(context)
        self._question = _sayable(question)
        self._host = host
        self._limits = limits
        self._memory = limits.memory_base + int(limits.memory_per_context_byte * _size(self._context))
        self._reader = Reader(self._memory)
        self._worker: AsyncMontySession | None = None
        self._running: asyncio.Task[Turn] | None = None
        self._turns = 0
        self._turns_before = 0
        self._lost = False
        self._closed = False
        self._one_at_a_time = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none, or while it runs."""
        return self._worker.worker_pid if self._worker else None

    async def begin(self) -> AsyncMontySession:
        """The worker; started, if there is none."""
        if self._worker is None:
            self._turns_before = self._turns
            self._worker = await self._monty.worker(
                {"context": self._context, "question": self._question},
                seconds=min(self._limits.wall_seconds, self._limits.cpu_seconds),
                memory=self._memory,
            )
        return self._worker

    async def execute(self, code: str, *, variables: Mapping[str, Any] | None = None) -> Turn:
        """Run one turn: see `protocol.Session.execute`."""
        async with self._one_at_a_time:
            if self._closed:
                raise EnvironmentClosed("this session is closed; open another")
            self._running = asyncio.create_task(self._turn(code, variables or {}))
            try:
                return await self._running
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if self._closed and not (task and task.cancelling()):
                    raise EnvironmentClosed("this session was closed while it ran") from None
                raise
            finally:
                self._running = None

    async def aclose(self) -> None:
        """End the processes and every open host call. Idempotent."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
        async with self._one_at_a_time:
            await self._drop()

    async def _turn(self, code: str, variables: Mapping[str, Any]) -> Turn:
        lost, self._lost = self._lost, False
        try:
            worker = await self.begin()
            self._turns += 1
            running = _RunningTurn(
                worker, self._reader, self._context, self._host, self._limits, turns_before=self._turns_before
            )
            turn = await running.run(_sayable(code), _sayable(dict(variables)), fresh=lost)
        except BaseException:
            self._lost = True
            await self._drop()
            raise
        if running.lost:
            await self._drop()
        return turn

    async def _drop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.__aexit__(None, None, None)
        await self._reader.aclose()


class _RunningTurn:
    """One turn while it runs: its clock, its calls, its end. `lost` tells afterwards that its worker is spent."""

    def __init__(
        self,
        worker: AsyncMontySession,
        reader: Reader,
        context: Context,
        host: Host,
        limits: Limits,
        *,
        turns_before: int,
    ) -> None:
        self._worker = worker
        self._reader = reader
        self._context = context
        self._host = host
        self._limits = limits
        self._turns_before = turns_before
        self._output = Capture(limits.output_chars)
        self._submitted: dict[str, Any] | None = None
        self._stopped = False
        self._ran = 0.0
        self.lost = False

    # --- the clock

    def _left(self) -> float:
        return min(self._limits.wall_seconds, self._limits.cpu_seconds) - self._ran

    async def _timed[T](self, start: Callable[[], Awaitable[T]]) -> T:
        since = time.monotonic()
        try:
            return await start()
        finally:
            self._ran += time.monotonic() - since

    def _time_limit(self, what_is_left: str) -> GuestError:
        limits = self._limits
        by_wall = limits.wall_seconds <= limits.cpu_seconds
        used = f"{limits.wall_seconds:g} s" if by_wall else f"{limits.cpu_seconds:g} s of CPU time"
        return GuestError("TimeLimit", f"Stopped after {used}. {what_is_left}")

    # --- the turn

    async def run(self, code: str, variables: dict[str, Any], *, fresh: bool) -> Turn:
        """The turn's end. What a host function raises, other than `HostFunctionFailed`, leaves it."""
        error = None
        try:
            state: AsyncSnapshot = await self._timed(
                lambda: self._worker.feed_start(code, inputs=variables, print_callback=self._printed)
            )
            while not isinstance(state, MontyComplete):
                # The interpreter's clock does not see what its calls cost us, of which code may make very many.
                if self._left() <= 0:
                    if self._stopped:
                        self.lost = True  # it was told to end, and went on
                        break
                    self._stopped = True
                state = await self._resumed(state)
        except MontyError as raised:
            error = self._why(raised)
        if self._stopped and error is None:
            error = self._time_limit(_RESTARTED if self.lost else "What was defined before is kept.")
        submitted = self._submitted
        return Turn(
            stdout=joined(*self._output.shown()),
            error=error,
            submitted=submitted is not None,
            answer=stubs.answer(**submitted) if submitted is not None else None,
            wall_seconds=self._ran,
            cpu_seconds=self._ran,
            fresh=fresh or self.lost,
        )

    def _printed(self, _stream: str, text: str) -> None:
        self._output.write(text)

    def _why(self, raised: MontyError) -> GuestError | None:
        """What ended the feed; None where we did, by `_end`."""
        if isinstance(raised, MontyCrashedError):
            self.lost = True
            if self._left() <= 0:
                return self._time_limit(_RESTARTED)
            return GuestError("EnvironmentLost", f"The process ended: it crashed. {_RESTARTED}")
        error = raised.exception()
        frames = raised.traceback() if isinstance(raised, (MontyRuntimeError, MontySyntaxError)) else []
        if isinstance(error, TimeoutError) and not frames:  # the code's own has frames
            self.lost = True
            return self._time_limit(_RESTARTED)
        if type(error) is BaseException and str(error) == _TURN_ENDS:
            return None
        message = str(error)
        if isinstance(error, MemoryError):  # what fills it would fail every turn to come
            self.lost = True
            message += f". {_RESTARTED}"
        elif _SYNCHRONOUS in message:
            message += f": {_HINT}"
        name = type(error).__name__
        lines = []
        for frame in frames:
            feed = re.fullmatch(r"<python-input-(\d+)>", frame.filename)
            if feed and feed[1] != "0":  # which is ours
                within = f", in {frame.function_name}" if frame.function_name else ""
                lines.append(f'  File "<turn {self._turns_before + int(feed[1])}>", line {frame.line}{within}\n')
                lines.append(f"    {(frame.source_line or '').strip()}\n")
        lines.append(f"{name}: {message}\n" if message else f"{name}\n")
        return GuestError(name, message[:MESSAGE_CHARS], shortened("".join(lines)))

    # --- calls

    async def _resumed(self, state: AsyncSnapshot) -> AsyncSnapshot:
        """The next state, after what `state` waits for was given to it or refused."""
        if isinstance(state, AsyncNameLookupSnapshot):
            name = state.variable_name
            if state.object_id is None and (name in self._host or name == "SUBMIT"):
                return await self._timed(lambda: state.resume(value=_named(name)))
            return await self._timed(state.resume)
        assert isinstance(state, AsyncFunctionSnapshot)  # noqa: S101 - no call of ours is answered by a future
        if state.is_os_function:
            return await self._timed(state.resume_not_handled)
        result = await self._answered(state.function_name, state.args, state.kwargs)
        return await self._timed(lambda: state.resume(result))

    async def _answered(self, name: str, values: tuple[Any, ...], fields: dict[str, Any]) -> ExternalResult:
        if self._stopped:
            return _end()
        if name == "SUBMIT":
            return self._submit(values, fields)
        if name == _HELP:
            return await self._helped(values)
        if name not in self._host:
            return {"exc_type": "NameError", "message": f"name {name!r} is not defined"}
        try:
            call: Awaitable[Any] = stubs.host_function(self, name)(*values, **fields)
        except TypeError as error:
            return {"exc_type": "TypeError", "message": str(error)}
        try:
            return {"return_value": _sayable(await call)}
        except HostFunctionFailed as error:
            return {"exc_type": "RuntimeError", "message": _sayable(str(error))}

    async def call(self, name: str, values: list[Any], fields: dict[str, Any]) -> Any:
        """Run a host function: see `stubs.Caller`."""
        return await self._host[name](*values, **fields)

    def _submit(self, values: tuple[Any, ...], fields: dict[str, Any]) -> ExternalResult:
        try:
            submitted = stubs.submission(values, fields, self._limits.submit_bytes)
        except TypeError as error:
            return {"exc_type": "TypeError", "message": str(error)}
        except ValueError as error:
            return {"exc_type": "ValueError", "message": str(error)}
        if self._submitted is None:
            self._submitted = submitted
        return _end()

    async def _helped(self, values: tuple[Any, ...]) -> ExternalResult:
        match values:
            case [str(name), [*given], tuple() as arguments, dict() as fields] if name in HELPERS:
                context = given[0] if given else self._context
            case _:
                return {"exc_type": "NameError", "message": f"name {_HELP!r} is not defined"}
        if not isinstance(context, str):
            context = stubs.plain(context)
        plain = [stubs.plain(argument) for argument in arguments]
        try:
            async with asyncio.timeout(self._left()):
                value = await self._timed(lambda: self._reader.call(name, context, plain, stubs.plain(fields)))
                return {"return_value": value}
        except TimeoutError:
            self._stopped = True
            return _end()
        except HelperFailed as error:
            if error.name in _RAISED_BY_HELPERS:
                return {"exc_type": _RAISED_BY_HELPERS[error.name], "message": error.message}
            return {"exc_type": "RuntimeError", "message": f"{error.name}: {error.message}"}


def _end() -> ExternalResult:
    """Ends the turn, past `except Exception`; code that catches all there is goes on, and is held to its limit."""
    return {"exc_type": "BaseException", "message": _TURN_ENDS}


def _named(name: str) -> Callable[..., None]:
    """A function for the worker to call by its name. It is not run: the call comes to us."""

    def function() -> None: ...

    function.__name__ = name
    return function


def _sayable(value: Any) -> Any:
    """JSON as monty can hold it, whose texts are UTF-8: lone surrogates become `?`.

    Raises:
        TypeError: it is not JSON.
    """
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [_sayable(item) for item in value]
        case dict():
            return {_sayable(key): _sayable(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} is not JSON")


def _size(value: Any) -> int:
    """Bytes of UTF-8 in the texts of a context."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    return sum(map(_size, value.values() if isinstance(value, dict) else value))
