"""`Store`: what RANTS remembers of sessions and runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from programs.errors import StoreError
from programs.events import Trajectory
from programs.glance import Glance
from programs.tools import Execution
from programs.transcript import Message, Transcript
from store import happenings, jobs, keys, leases, logins, retention, sessions, windows
from store.buckets import Draw, Drawn, draw_kept
from store.database import Database, migrate
from store.keys import Key
from store.leases import Beat
from store.looking import Found, Login, Part, Stretch, Wanted, Window
from store.overview import overview
from store.processes import process
from store.runs import Finished, Run, StoredRun, StoredSession
from store.settings import StateSettings
from store.threads import Threads

_SQLITE_READERS = 2
_ALL = 2**62  # rows


class Store:
    """Sessions, runs and their transcripts in a database. Made by `Store.open`.

    Every method works in another thread, from any event loop. It does all that it says, or raises StoreError and
    has done nothing. When a writing method returns, its write is committed (how firmly: `StateSettings`). To cancel
    one does not take back what it is writing. A tenant sees and changes only what is its own.

    Each open store is a worker. A run that has begun is its worker's: what another writes of it raises LeaseLost and
    writes nothing, until it has taken the run over.
    """

    def __init__(self, writer: Threads, readers: Threads) -> None:
        self._writer = writer
        self._readers = readers
        self._worker = uuid.uuid4().hex
        self._process = process(os.getpid())

    @classmethod
    async def open(cls, settings: StateSettings) -> Self:
        """Open the database, made and migrated where needed: `async with await Store.open(settings) as store`.

        Raises StoreError where it cannot be made, opened or written; the sentence says why and what to do.
        """
        await asyncio.to_thread(migrate, settings)
        readers = settings.connections // 2 if settings.postgres else _SQLITE_READERS
        writers = settings.connections - readers if settings.postgres else 1
        store = cls(Threads(settings, "writer", writers), Threads(settings, "reader", readers))
        await store.beat()
        return store

    @classmethod
    async def look(cls, settings: StateSettings) -> Self:
        """Open a database that is there, only to read it, also while servers use it. Writing methods raise StoreError.

        Raises StoreError where there is none, or it cannot be opened.
        """
        if (file := settings.file) is not None and not await asyncio.to_thread(file.exists):
            raise StoreError(f"There is no database at {file}: nothing has been kept yet, or it lies elsewhere.")
        readers = Threads(settings, "reader", _SQLITE_READERS)
        return cls(readers, readers)

    async def close(self) -> None:
        """Finish what is being written, and close. After that every method raises StoreError.

        The runs that this worker has not finished are free to be taken over from then on.
        """
        with contextlib.suppress(StoreError):  # closed already, or it cannot be written: then they are free a bit later
            await self._writer.do(lambda db: leases.leave(db, self._worker))
        await self._writer.close()
        await self._readers.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def begin(self, run: Run) -> str:
        """Keep a run that begins, and its transcript. Gives the id of its session. It is this worker's to drive.

        That is the session with the run's `session_key`; else the one of the run `previous`; else the one that ends
        in the longest transcript which this one goes on from, unless it has another key; else a new one.
        """

        def begin(db: Database) -> str:
            leases.known(db, self._worker, self._process)
            return jobs.begin(db, run, owner=self._worker)

        return await self._writer.do(begin)

    async def finish(self, tenant: str, run_id: str, finished: Finished) -> bool:
        """Keep how a run ended, what it appended to the transcript, and what it cost.

        Gives False where there was nothing to finish: a run that has ended stays as it is, and of one that has been
        deleted only the cost is kept.
        """
        return await self._writer.do(lambda db: jobs.finish(db, tenant, run_id, finished, worker=self._worker))

    async def record(self, run: Run, finished: Finished) -> str:
        """`begin` and `finish` in one, for a run that nobody asks for before it ends. Gives its session's id."""
        return await self._writer.do(lambda db: jobs.begin(db, run, finished))

    async def spent(self, tenant: str, run_id: str, finished: Finished) -> None:
        """Keep what a run cost, and nothing else of it. For runs that are kept, `finish` and `record` do so."""
        await self._writer.do(lambda db: jobs.spend(db, tenant, run_id, finished))

    async def happened(self, tenant: str, run_id: str, number: int, events: Sequence[Trajectory]) -> None:
        """Keep what a run does with its context, while it does it: `events`, the first of which is number `number`.

        Of a run that has been deleted nothing is kept.
        """
        await self._writer.do(lambda db: happenings.happened(db, tenant, run_id, number, events, worker=self._worker))

    async def trajectory(self, tenant: str, run_id: str) -> list[Trajectory]:
        """Give what a run has done with its context, in order; nothing where the tenant has no such run."""
        return await self._readers.do(lambda db: happenings.trajectory(db, tenant, run_id))

    async def happening(self, tenant: str, run_id: str, number: int) -> Trajectory | None:
        """Give one event of that, counted from 0, or None where the tenant has no such run or it no such event."""
        return await self._readers.do(lambda db: happenings.one(db, tenant, run_id, number))

    async def glances(self, tenant: str, run_id: str, after: int = -1, limit: int = 10_000) -> list[Glance]:
        """Give what a run has done with its context at a glance, in order: at most `limit` of what followed `after`.

        Nothing where the tenant has no such run.
        """
        return await self._readers.do(lambda db: happenings.glances(db, tenant, run_id, after, limit))

    async def said(self, tenant: str, calls: Sequence[str]) -> dict[str, tuple[Message, ...]]:
        """Give what the runs that made these calls have appended to their transcripts, by call.

        Calls that the tenant has no run for are left out.
        """
        return await self._readers.do(lambda db: jobs.said(db, tenant, calls))

    async def audit(self, tenant: str, run_id: str, session: str, execution: Execution) -> None:
        """Keep that a gateway tool was executed: for whom, with what (as a digest), how long, and how it ended."""
        await self._writer.do(lambda db: jobs.audit(db, tenant, run_id, session, execution, worker=self._worker))

    async def todos(self, tenant: str, session: str) -> list[dict[str, Any]]:
        """Give the to-do list of a session, empty at first."""
        return await self._readers.do(lambda db: jobs.todos(db, tenant, session))

    async def set_todos(self, tenant: str, session: str, listed: list[dict[str, Any]]) -> None:
        """Replace the to-do list of a session."""
        await self._writer.do(lambda db: jobs.set_todos(db, tenant, session, listed))

    async def run(self, tenant: str, run_id: str) -> StoredRun | None:
        """Give the run as it is now, or None if the tenant has no such run."""
        return await self._readers.do(lambda db: jobs.read(db, tenant, run_id))

    async def transcript(self, tenant: str, run_id: str, *, output: bool) -> Transcript:
        """Give what the run was given and, with `output`, what it has appended.

        Raises NotFound if the tenant has no such run.
        """
        return await self._readers.do(lambda db: jobs.transcript(db, tenant, run_id, output=output))

    async def parts(self, tenant: str, run_id: str) -> list[Part]:
        """Give the messages of the transcript that a run was given, without what they say; none where it is unknown."""
        return await self._readers.do(lambda db: windows.parts(db, tenant, run_id))

    async def window(self, tenant: str, run_id: str, index: int, at: int, size: int = 16_384) -> Window | None:
        """Give what a message of that transcript says at one place: its content alone, not the JSON around it.

        Windows of which each begins where the one before ends join to the content. It ends at the end of the message
        where nothing more is said.

        Args:
            tenant: whose run it is.
            run_id: the run.
            index: of the message.
            at: in bytes. It is moved to where a character begins, and into the content: 0 is its beginning.
            size: at most so many bytes, but at least one character.

        Returns:
            the window, or None where there is no such message.
        """
        return await self._readers.do(lambda db: windows.window(db, tenant, run_id, index, at, size=size))

    async def locate(self, tenant: str, run_id: str, text: str, start: Found | None = None) -> Found | None:
        """Find where a text is first said in that transcript, exactly so; with `start`, where it begins after that."""
        return await self._readers.do(lambda db: windows.locate(db, tenant, run_id, text, start))

    async def delete(self, tenant: str, run_id: str) -> bool:
        """Remove a run and what only it needed: messages, prefixes, its session. What it cost stays.

        Gives False if the tenant has no such run.
        """
        return await self._writer.do(lambda db: jobs.delete(db, tenant, run_id))

    async def find_sessions(self, wanted: Wanted) -> list[StoredSession]:
        """Give the sessions that are wanted, the last used first: by `updated_at`, then by id."""
        return await self._readers.do(lambda db: sessions.find(db, wanted))

    async def sessions_of(self, session_id: str) -> list[StoredSession]:
        """Give the sessions of that id, whosever they are: for operators."""
        return await self._readers.do(lambda db: sessions.by_id(db, session_id))

    async def runs_of(self, tenant: str, session_id: str, *, limit: int = _ALL, offset: int = 0) -> list[StoredRun]:
        """Give the runs of a session, oldest first: at most `limit`, behind the first `offset`."""
        return await self._readers.do(lambda db: sessions.runs(db, tenant, session_id, limit, offset))

    async def expire(self, before: float) -> bool:
        """Remove some of the runs of all tenants that ended before that time, then what was audited before it.

        Gives whether there are more.
        """
        return await self._writer.do(lambda db: retention.expire(db, before))

    async def unfinished(self) -> list[StoredRun]:
        """Give the runs of all tenants that have not ended, oldest first: after a crash, those that it cut off."""
        return await self._readers.do(jobs.unfinished)

    async def draw(self, tenant: str, draws: Sequence[Draw], *, debt: bool = False) -> Drawn:
        """Take the amounts out of the tenant's token buckets, all or none; with `debt` also what is not there yet.

        All processes that use the database share them.
        """
        return await self._writer.do(lambda db: draw_kept(db, tenant, draws, debt=debt))

    async def beat(self) -> Beat:
        """Say that this worker lives, and learn which runs are its own and which of them are to be cancelled."""
        return await self._writer.do(lambda db: leases.beat(db, self._worker, self._process))

    async def take_over(self, silent_for: float) -> list[StoredRun]:
        """Claim the runs that have not ended and have no living owner, oldest first. Each is given to one worker only.

        An owner is dead when it has not beaten for `silent_for` seconds, when it is a process of this machine that has
        ended, or when it is not known.
        """
        found = await self._writer.do(lambda db: leases.take_over(db, self._worker, silent_for))
        return sorted((jobs.stored(one) for one in found), key=lambda run: run.created_at)

    async def ask_to_cancel(self, tenant: str, run_id: str) -> bool:
        """Have its worker cancel a run, which learns of it when it beats. Gives False where it has ended or is gone."""
        return await self._writer.do(lambda db: leases.ask_to_cancel(db, tenant, run_id))

    async def add_key(self, key: Key) -> None:
        """Keep a new API key."""
        await self._writer.do(lambda db: keys.add(db, key))

    async def keys(self) -> list[Key]:
        """Give the API keys of all tenants, oldest first, with those that have expired or been revoked."""
        return await self._readers.do(keys.listed)

    async def count_keys(self) -> tuple[int, int]:
        """Count the API keys, and those that are revoked. While both are as before, `keys` allows what it did."""
        return await self._readers.do(keys.counted)

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        """Take an API key back. Gives it as it is then, or None if there is none of that id."""
        return await self._writer.do(lambda db: keys.revoke(db, key_id, at))

    async def used_key(self, key_id: str, at: float) -> None:
        """Keep when an API key was last used."""
        await self._writer.do(lambda db: keys.used(db, key_id, at))

    async def take_call(self, tenant: str, key_id: str, at: float, *, calls: int | None, tokens: int | None) -> None:
        """Count one call more of the key's day.

        Raises QuotaSpent, and counts nothing, where it has made `calls` or spent `tokens` already.
        """
        await self._writer.do(lambda db: keys.take(db, tenant, key_id, at, calls=calls, tokens=tokens))

    async def spent_of_day(self, at: float) -> dict[tuple[str, str], tuple[int, int]]:
        """Give the calls and tokens that were counted on the day of `at`, by tenant and key.

        Calls are counted of keys that have a budget, tokens of all.
        """
        return await self._readers.do(lambda db: keys.spent(db, at))

    async def add_login(self, login: Login) -> None:
        """Keep that a browser has shown a key. Logins that have expired are removed."""
        now = time.time()
        await self._writer.do(lambda db: logins.add(db, login, now))

    async def login(self, digest: str) -> Login | None:
        """Give the login of that digest, whosever it is; None where there is none, or it has expired."""
        now = time.time()
        return await self._readers.do(lambda db: logins.find(db, digest, now))

    async def drop_login(self, digest: str) -> None:
        """Forget a login, if there is one of that digest."""
        await self._writer.do(lambda db: logins.drop(db, digest))

    async def overview(self, tenant: str | None, since: float, until: float, stretches: int) -> list[Stretch]:
        """Give what happened from `since` until before `until`, divided into so many equal stretches, of one tenant.

        None stands for all tenants. Runs count when they end, also those of which nothing else is kept.
        """
        return await self._readers.do(lambda db: overview(db, tenant, since, until, stretches))

    async def check(self) -> None:
        """Write a row, take it back, and read. Raises StoreError where one of them fails."""
        await self._writer.do(jobs.try_to_write)
        await self._readers.do(jobs.unfinished)
