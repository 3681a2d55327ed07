"""`Store`: what RANTS remembers of sessions and runs."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from programs.events import RunDone
from programs.transcript import Transcript
from store import jobs
from store.database import migrate
from store.runs import Finished, Run, StoredRun
from store.settings import StateSettings
from store.threads import Threads

READERS = 2


class Store:
    """Sessions, runs and their transcripts on SQLite. Open it with `Store.open`.

    Every method is a coroutine, does its work in another thread and either does all of it or, when it raises
    `StoreError`, nothing. When a writing method returns, what it wrote is committed (how firmly: see
    `StateSettings.synchronous`). Cancelling it does not take back a write that is under way. Nothing of one tenant is
    ever seen, changed or shared by another.
    """

    def __init__(self, writer: Threads, readers: Threads) -> None:
        self._writer = writer
        self._readers = readers

    @classmethod
    async def open(cls, settings: StateSettings) -> Self:
        """Open the database, made and migrated where necessary: `async with await Store.open(settings) as store:`.

        Raises:
            StoreError: it cannot be made, read or written; the sentence says why and what to do.
        """
        await asyncio.to_thread(migrate, settings)
        return cls(Threads(settings, "writer"), Threads(settings, "reader", READERS))

    async def close(self) -> None:
        """Finish the writes under way and close. Later calls raise `StoreError`."""
        await self._writer.close()
        await self._readers.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def begin(self, run: Run) -> str:
        """Keep a run that begins, and its transcript. Gives the id of its session.

        That is the tenant's session of `run.session_key`; else that of the run `run.previous`; else the one whose newest
        transcript is the longest that the run's own goes on from (but none that has another key); else a new one.
        """
        return await self._writer.do(lambda db: jobs.begin(db, run))

    async def started(self, tenant: str, run_id: str) -> None:
        """A `queued` run is now `in_progress`."""
        await self._writer.do(lambda db: jobs.start(db, tenant, run_id))

    async def finish(self, tenant: str, run_id: str, finished: Finished) -> bool:
        """Keep how a run ended: its output in the transcript, the session's new head, the run, and what it cost.

        Gives False where nothing is left to finish. A run that had ended already stays as it is. Of one that was deleted
        meanwhile only the cost is kept.
        """
        return await self._writer.do(lambda db: jobs.finish(db, tenant, run_id, finished))

    async def record(self, run: Run, finished: Finished) -> str:
        """`begin` and `finish` at once, for a run that nobody asks for before it ends. Gives the id of its session."""
        return await self._writer.do(lambda db: jobs.begin(db, run, finished))

    async def spent(self, tenant: str, run_id: str, done: RunDone, *, completed_at: float, seconds: float) -> None:
        """Keep what a run cost and nothing else of it. `finish` and `record` do so by themselves."""
        await self._writer.do(lambda db: jobs.spend(db, tenant, run_id, done, completed_at, seconds))

    async def run(self, tenant: str, run_id: str) -> StoredRun | None:
        """The run as it is now, or None if the tenant has none of that id."""
        return await self._readers.do(lambda db: jobs.read(db, tenant, run_id))

    async def transcript(self, tenant: str, run_id: str, *, output: bool) -> Transcript:
        """What the run was given; with `output` also what it appended.

        Raises:
            NotFound: the tenant has no such run.
        """
        return await self._readers.do(lambda db: jobs.transcript(db, tenant, run_id, output=output))

    async def delete(self, tenant: str, run_id: str) -> bool:
        """Remove a run and what only it referred to: messages, prefixes, its session. Its usage stays.

        Gives False if the tenant has no such run.
        """
        return await self._writer.do(lambda db: jobs.delete(db, tenant, run_id))

    async def unfinished(self) -> list[StoredRun]:
        """The runs of all tenants that have not ended, oldest first. Right after a start: those that a crash cut off."""
        return await self._readers.do(jobs.unfinished)

    async def check(self) -> None:
        """Write a row, take it back, and read.

        Raises:
            StoreError: the database cannot be written or read.
        """
        await self._writer.do(jobs.try_to_write)
        await self._readers.do(jobs.unfinished)
