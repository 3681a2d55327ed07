"""What signals ask of a serving process: to end in time, without cutting answers off, or to read its settings anew.

A worker whose parent is gone, however that has ended, ends as if it had been told to: nobody else would.

uvicorn handles SIGTERM and SIGINT by itself: it takes no more connections and waits for those that are open. What it
does not know is when to stop waiting, and how an answer ends that is not done by then.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Self

type Todo = Callable[[], Coroutine[Any, Any, None]]

_ENDS = (signal.SIGTERM, signal.SIGINT)
_RELOAD = getattr(signal, "SIGHUP", None)  # Windows has none

LAST_WORDS_SECONDS = 2
"""How long streams may take to say that they were cut short, after the drain."""


class Life:
    """Listens for signals while it is entered: `async with Life(...) as life`. Not in the main thread: for none.

    Args:
        drain_seconds: how long answers that are being written may still take, once the process is told to end.
        stop: ends what is still running then.
        reload: reads the settings anew, on SIGHUP.

    Attributes:
        draining: whether the process has been told to end.
    """

    def __init__(self, drain_seconds: float, *, stop: Todo, reload: Todo) -> None:
        self.draining = False
        self._drain_seconds = drain_seconds
        self._stop = stop
        self._reload = reload
        self._before: dict[signal.Signals, Any] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._parent: int | None = None  # what can be read once it has ended

    async def __aenter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self
        loop = asyncio.get_running_loop()

        def told(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._told, signal.Signals(number))
            if callable(before := self._before[signal.Signals(number)]):
                before(number, frame)

        for number in (*_ENDS, *([_RELOAD] if _RELOAD is not None else [])):
            # Kept before ours is there: it is told too. What a reload would do by itself is to end the process.
            self._before[number] = signal.getsignal(number)
            signal.signal(number, told)
        if (parent := multiprocessing.parent_process()) is not None and sys.platform != "win32":
            self._parent = parent.sentinel
            loop.add_reader(self._parent, self._orphaned)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._forget_parent()
        for number, before in self._before.items():
            signal.signal(number, before)
        for task in self._doing:
            task.cancel()
        if self._doing:
            await asyncio.wait(self._doing)

    def _told(self, number: signal.Signals) -> None:
        if number not in _ENDS:
            self._do(self._reload())
        elif not self.draining:
            self.draining = True
            self._do(self._drain())

    def _orphaned(self) -> None:
        self._forget_parent()
        signal.raise_signal(signal.SIGTERM)

    def _forget_parent(self) -> None:
        if self._parent is not None:
            asyncio.get_running_loop().remove_reader(self._parent)
            self._parent = None

    async def _drain(self) -> None:
        await asyncio.sleep(self._drain_seconds)
        await self._stop()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
