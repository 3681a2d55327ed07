"""Programs that block, each in a thread of its own, whose model calls are made on the event loop that waits for it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import dspy

from programs.backends.engine import AsyncEngine, Engine


class Calls:
    """The calls of a program that runs in another thread. It is made on the loop that makes them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()
        self._cut = False

    def lm(self, model: str, engine: AsyncEngine) -> dspy.LM:
        """A `dspy.LM` for the program."""
        return dspy.LM(model, engine=Engine(engine, self.run), async_engine=engine, cache=False, num_retries=0)

    def run(self, work: Coroutine[object, object, Any]) -> Any:
        """Run `work` on the loop, and wait for it. From the program's threads.

        Raises:
            concurrent.futures.CancelledError: the program is to end.
        """
        with self._lock:
            call = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._open.add(call)
            if self._cut:
                call.cancel()
        try:
            return call.result()
        finally:
            with self._lock:
                self._open.discard(call)

    def cut(self) -> None:
        """Cut off all calls, and those that are still to come."""
        with self._lock:
            self._cut = True
            for call in self._open:
                call.cancel()


async def threaded[T](program: Callable[[], T], calls: Calls) -> T:
    """What `program` gives, run in a thread. Cancelled, it waits until the program has ended, without its calls."""
    context = contextvars.copy_context()
    thread = ThreadPoolExecutor(1, "program")  # to wait for one of the loop's would count as the program's time
    work = asyncio.get_running_loop().run_in_executor(thread, context.run, program)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        calls.cut()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # nobody is left to be told
        raise
    finally:
        thread.shutdown(wait=False)
