"""The threads in which the database works, so that the event loop never waits for a disk or a network."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Literal

from programs.errors import StoreError
from store.database import DATABASE_ERRORS, Database, connector
from store.postgres import Postgres
from store.settings import StateSettings
from store.sqlite import Sqlite

type Job[T] = Callable[[Database], T]

_ATTEMPTS = 8  # at a job that is in another process's way
_PAUSE = 0.005  # seconds before the second one, at the most; doubled each time


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

    SQLite's writer is one thread. What waits for it when it gets free, it runs in one transaction with a savepoint for
    each job, and commits once: fifty writes wait once for the disk. A job that fails takes back what it wrote itself.
    If the commit fails, all of them fail and nothing is written.

    PostgreSQL's writers take one job at a time, each in a transaction. One that is in another's way, also in another
    process, is tried again: a job may run more than once, and only the last time counts.

    A reader takes one job at a time and shows it one snapshot of the database; it cannot write.
    """

    def __init__(self, settings: StateSettings, role: Literal["writer", "reader"], count: int = 1) -> None:
        self._database = connector(settings, read_only=role == "reader")
        self._gathers = role == "writer" and isinstance(self._database, Sqlite)
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
            while self._gathers and not self._tasks.empty():
                waiting.append(self._tasks.get())
            tasks = [task for task in waiting if task is not None]
            if tasks:
                self._transact(tasks)
                _answer(tasks)
        self._database.close()

    def _transact(self, tasks: list[_Task]) -> None:
        """Run the tasks in one transaction and leave in each what came of it."""
        if isinstance(self._database, Postgres):
            for task in tasks:
                self._run_alone(self._database, task)
            return
        try:
            self._database.begin_jobs()
            for task in tasks:
                self._attempt(self._database, task)
            self._database.commit()
        except DATABASE_ERRORS as error:
            for task in tasks:
                task.error = self._database.explain(error)
            self._database.close()  # takes back what is left of the transaction; the next one connects anew

    @staticmethod
    def _attempt(db: Sqlite, task: _Task) -> None:
        """Run one task in a savepoint, so that its error is its own.

        If SQLite has given up the whole transaction (it may, when a disk fails), there is nothing to go back to: that
        raises.
        """
        db.execute_sql("SAVEPOINT task")  # type: ignore[no-untyped-call]
        try:
            task.result = task.job(db)
        except Exception as error:  # noqa: BLE001 - not swallowed: whoever awaits the job gets it
            task.error = db.explain(error) if isinstance(error, DATABASE_ERRORS) else error
            db.execute_sql("ROLLBACK TO task")  # type: ignore[no-untyped-call]
        db.execute_sql("RELEASE task")  # type: ignore[no-untyped-call]

    @staticmethod
    def _run_alone(db: Postgres, task: _Task) -> None:
        """Run one task in a transaction of its own, again where others were in its way."""
        for attempt in range(_ATTEMPTS):
            task.error = None
            try:
                db.begin_jobs()
                task.result = task.job(db)
                db.commit()
            except Exception as error:  # noqa: BLE001 - not swallowed: whoever awaits the job gets it
                task.error = db.explain(error) if isinstance(error, DATABASE_ERRORS) else error
                db.take_back()
                if not db.passes(error):
                    return
                time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311
            else:
                return


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
