"""The threads in which SQLite works, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal

import peewee as pw

from programs.errors import StoreError
from store.database import DATABASE_ERRORS, connector, explain
from store.settings import StateSettings
from store.statements import rows

type Job[T] = Callable[[pw.SqliteDatabase], T]


@dataclass(slots=True, eq=False)
class _Task:
    """A job on its way: who waits for it, and what came of it."""

    job: Job[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Threads:
    """Threads that run jobs on the database, each over its own connection, for any number of event loops.

    A writer is one thread. What waits for it when it gets free, it runs in one transaction with a savepoint for each
    job, and commits once: fifty writes wait once for the disk. A job that fails takes back what it wrote itself. If
    the commit fails, all of them fail and nothing is written. A reader takes one job at a time and shows it one
    snapshot of the database; it cannot write.
    """

    def __init__(self, settings: StateSettings, role: Literal["writer", "reader"], count: int = 1) -> None:
        self._settings = settings
        self._role = role
        self._database = connector(settings, read_only=role == "reader")
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._closed = False
        self._closing = threading.Lock()
        # Daemons, so that a program that forgets to close still ends. What was acknowledged is committed anyway.
        self._threads = [threading.Thread(target=self._work, name=f"rants-{role}", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    async def do[T](self, job: Job[T]) -> T:
        """Run `job` and wait for its result. Once handed over it is done, even when nobody waits any more.

        Raises StoreError where the database fails or is closed. Other errors of the job come through as they are.
        """
        loop = asyncio.get_running_loop()
        task = _Task(job, loop, loop.create_future())
        with self._closing:
            if self._closed:
                raise StoreError("The database is closed: this process is stopping.")
            self._tasks.put(task)
        result: T = await task.future
        return result

    async def close(self) -> None:
        """Finish what was handed over, close the connections, end the threads. Doing it twice is fine."""
        with self._closing:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._tasks.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        waiting: list[_Task | None] = []
        while None not in waiting:
            waiting = [self._tasks.get()]
            while self._role == "writer" and not self._tasks.empty():
                waiting.append(self._tasks.get())
            tasks = [task for task in waiting if task is not None]
            if tasks:
                self._transact(tasks)
                _answer(tasks)
        self._database.close()

    def _transact(self, tasks: list[_Task]) -> None:
        """Run the tasks in one transaction and leave in each what came of it."""
        try:
            self._database.begin("IMMEDIATE" if self._role == "writer" else "DEFERRED")
            for task in tasks:
                self._attempt(task)
            self._database.commit()
        except DATABASE_ERRORS as error:
            for task in tasks:
                task.error = explain(error, self._settings)
            self._database.close()  # takes back what is left of the transaction; the next one connects anew

    def _attempt(self, task: _Task) -> None:
        """Run one task in a savepoint, so that its error is its own.

        If SQLite has given up the whole transaction (it may, when a disk fails), there is nothing to go back to: that
        raises.
        """
        rows(self._database, "SAVEPOINT task", {})
        try:
            task.result = task.job(self._database)
        except Exception as error:  # noqa: BLE001 - not swallowed: whoever awaits the job gets it
            task.error = explain(error, self._settings) if isinstance(error, DATABASE_ERRORS) else error
            rows(self._database, "ROLLBACK TO task", {})
        rows(self._database, "RELEASE task", {})


def _answer(tasks: list[_Task]) -> None:
    """Wake those who wait, with one call into each event loop."""
    loops = defaultdict(list)
    for task in tasks:
        loops[task.loop].append(task)
    for loop, waiting in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited there
            loop.call_soon_threadsafe(_settle, waiting)


def _settle(tasks: list[_Task]) -> None:
    for task in tasks:
        if task.future.done():  # its awaiter was cancelled
            continue
        if task.error is not None:
            task.future.set_exception(task.error)
        else:
            task.future.set_result(task.result)
