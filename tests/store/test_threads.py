from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from programs.errors import NotFound, StoreError
from store import StateSettings
from store.database import migrate
from store.threads import Threads
from tests.store.samples import look, on_sqlite

type Change = Callable[[Any], None]


@pytest.fixture
async def writer(settings: StateSettings) -> AsyncIterator[Threads]:
    await asyncio.to_thread(migrate, settings)
    writer = Threads(settings, "writer")
    yield writer
    await writer.close()


@pytest.fixture
async def reader(settings: StateSettings, writer: Threads) -> AsyncIterator[Threads]:
    reader = Threads(settings, "reader", 2)
    yield reader
    await reader.close()


def adding(*words: str) -> Change:
    def add(db: Any) -> None:
        for word in words:
            statement = f"INSERT INTO message (tenant, digest, body) VALUES ('ada', {db.param}, {db.param})"
            db.execute_sql(statement, (word.encode(), word))

    return add


def words(db: Any) -> list[str]:
    return [body for (body,) in db.execute_sql("SELECT body FROM message ORDER BY id").fetchall()]


class Pause:
    """A job that holds its thread until it is told to go on."""

    def __init__(self) -> None:
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, db: Any) -> None:
        self.reached.set()
        assert self.go_on.wait(30)


async def together(writer: Threads, *jobs: Change) -> list[BaseException | None]:
    """Hand over `jobs` while the writer is busy, so that they are one transaction."""
    pause = Pause()
    busy = asyncio.create_task(writer.do(pause))
    await asyncio.to_thread(pause.reached.wait)
    waiting = asyncio.gather(*(writer.do(job) for job in jobs), return_exceptions=True)
    await asyncio.sleep(0)
    pause.go_on.set()
    await busy
    return await waiting


@on_sqlite
async def test_what_waits_together_is_committed_once(writer: Threads) -> None:
    statements: list[str] = []

    def trace(db: Any) -> None:
        db.connection().set_trace_callback(statements.append)

    await writer.do(trace)
    statements.clear()
    await together(writer, *(adding(str(number)) for number in range(50)))
    assert statements.count("COMMIT") == 2  # the job that held the writer up, and the fifty
    assert await writer.do(words) == [str(number) for number in range(50)]


async def test_a_job_that_fails_takes_back_only_its_own(writer: Threads, settings: StateSettings) -> None:
    def not_found(db: Any) -> None:
        adding("half")(db)
        raise NotFound("There is no such thing.")

    def bug(db: Any) -> None:
        adding("half")(db)
        raise ZeroDivisionError

    results = await together(writer, adding("one"), not_found, adding("two", "two"), bug, adding("three"))
    assert [type(result) for result in results] == [type(None), NotFound, StoreError, ZeroDivisionError, type(None)]
    assert await writer.do(words) == ["one", "three"]


@on_sqlite
async def test_a_commit_that_fails_fails_all_and_writes_nothing(writer: Threads) -> None:
    def breaks_at_commit(db: Any) -> None:
        db.execute_sql("PRAGMA defer_foreign_keys = 1")
        db.execute_sql("INSERT INTO prefix VALUES ('ada', x'01', NULL, x'02', 1)")

    results = await together(writer, adding("one"), breaks_at_commit, adding("two"))
    assert [type(result) for result in results] == [StoreError] * 3
    assert await writer.do(words) == []
    await writer.do(adding("afterwards"))
    assert await writer.do(words) == ["afterwards"]


@on_sqlite
async def test_a_transaction_that_sqlite_gives_up_fails_all_and_writes_nothing(writer: Threads) -> None:
    def given_up(db: Any) -> None:
        db.execute_sql("INSERT OR ROLLBACK INTO message VALUES (1, 'ada', x'00', ''), (1, 'ada', x'00', '')")

    results = await together(writer, adding("one"), given_up, adding("two"))
    assert [type(result) for result in results] == [StoreError] * 3
    assert await writer.do(words) == []


async def test_a_write_whose_awaiter_was_cancelled_happens_all_the_same(writer: Threads) -> None:
    pause = Pause()
    busy = asyncio.create_task(writer.do(pause))
    queued = asyncio.create_task(writer.do(adding("queued")))
    await asyncio.to_thread(pause.reached.wait)
    busy.cancel()
    queued.cancel()
    pause.go_on.set()
    await asyncio.gather(busy, queued, return_exceptions=True)
    assert busy.cancelled()
    assert queued.cancelled()
    assert await writer.do(words) == ["queued"]


async def test_it_serves_several_event_loops_at_once(writer: Threads) -> None:
    async def write(loop: int) -> None:
        await asyncio.gather(*(writer.do(adding(f"{loop}.{number}")) for number in range(20)))

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, write(loop)) for loop in range(4)))
    assert len(await writer.do(words)) == 80


async def test_a_loop_that_has_ended_does_not_stop_it(writer: Threads) -> None:
    pause = Pause()

    async def leave() -> None:
        waiting = asyncio.create_task(writer.do(pause))
        await asyncio.sleep(0)
        waiting.cancel()

    await asyncio.to_thread(asyncio.run, leave())
    pause.go_on.set()
    await writer.do(adding("afterwards"))
    assert await writer.do(words) == ["afterwards"]


async def test_closing_finishes_what_was_handed_over(settings: StateSettings, writer: Threads) -> None:
    pause = Pause()
    writes = [asyncio.create_task(writer.do(job)) for job in (pause, adding("one"), adding("two"))]
    await asyncio.to_thread(pause.reached.wait)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="closed"):
        await writer.do(adding("late"))
    pause.go_on.set()
    await asyncio.gather(closing, *writes)
    await writer.close()
    assert look(settings, "SELECT body FROM message ORDER BY id") == [("one",), ("two",)]
    assert not [thread for thread in threading.enumerate() if thread.name == "rants-writer"]


async def test_a_reader_cannot_write(reader: Threads) -> None:
    with pytest.raises(StoreError, match="read-only"):
        await reader.do(adding("one"))


async def test_a_reader_sees_one_snapshot_and_does_not_hold_up_the_writer(reader: Threads, writer: Threads) -> None:
    pause = Pause()

    def read_twice(db: Any) -> list[list[str]]:
        before = words(db)
        pause(db)
        return [before, words(db)]

    await writer.do(adding("one"))
    reading = asyncio.create_task(reader.do(read_twice))
    await asyncio.to_thread(pause.reached.wait)
    await writer.do(adding("two"))
    assert await reader.do(words) == ["one", "two"]  # the second reader
    pause.go_on.set()
    assert await reading == [["one"], ["one"]]
    assert await reader.do(words) == ["one", "two"]
