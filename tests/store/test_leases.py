"""Which worker drives which run, and what happens when one dies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable

import pytest

from programs.errors import LeaseLost
from programs.tools.protocol import Execution
from store import StateSettings, Store
from store.processes import has_ended, process
from tests.store.samples import a_run, count, finished, look, said

HELLO = said("Be brief.", "Hello")
LONG = 3600.0
"""Seconds for which no worker of these tests is silent."""

EXECUTION = Execution(call="c", tool="bash", digest="00", seconds=0.5, outcome="ok")


@pytest.fixture
async def other(store: Store, settings: StateSettings) -> AsyncIterator[Store]:
    """Another worker on the same database."""
    async with await Store.open(settings) as other:
        yield other


async def grow_old(store: Store, seconds: float) -> None:
    """Make it so long since any worker has beaten."""
    await change(store, f"UPDATE worker SET seen_at = seen_at - {seconds}")


async def change(store: Store, statement: str) -> None:
    await store._writer.do(lambda db: db.execute_sql(statement))  # type: ignore[no-untyped-call]


async def test_a_run_is_its_workers_until_that_is_silent_for_too_long(
    store: Store, other: Store, settings: StateSettings
) -> None:
    await store.begin(a_run("run", background=True))
    assert await other.take_over(LONG) == []
    await grow_old(store, 100)
    await other.beat()
    assert await other.take_over(101) == []
    await store.beat()
    assert await other.take_over(50) == [], "it has beaten since"
    await grow_old(store, 100)
    await other.beat()
    assert [(run.tenant, run.id, run.background) for run in await other.take_over(99)] == [("ada", "run", True)]
    assert await other.take_over(0) == [], "a worker does not take over its own"


async def test_what_an_old_owner_wants_to_write_is_refused_and_not_written(
    store: Store, other: Store, settings: StateSettings
) -> None:
    await store.begin(a_run("run"))
    await grow_old(store, 100)
    await other.beat()
    assert len(await other.take_over(50)) == 1
    before = await store.run("ada", "run"), count(settings)
    writes: list[Awaitable[object]] = [
        store.happened("ada", "run", 0, finished("Hi").steps[:1]),
        store.audit("ada", "run", "", EXECUTION),
        store.finish("ada", "run", finished("Hi")),
    ]
    for write in writes:
        with pytest.raises(LeaseLost, match="taken over 'run'"):
            await write
    assert (await store.run("ada", "run"), count(settings)) == before
    assert await store.trajectory("ada", "run") == []
    assert look(settings, "SELECT count(*) FROM audit") == [(0,)]
    await other.happened("ada", "run", 0, finished("Hi").steps[:1])
    await other.audit("ada", "run", "", EXECUTION)
    assert await other.finish("ada", "run", finished("Hi"))
    assert not await store.finish("ada", "run", finished("Hi")), "it has ended"


async def test_a_run_is_claimed_once_however_many_want_it(settings: StateSettings, store: Store) -> None:
    for number in range(20):
        await store.begin(a_run(f"run_{number}", created_at=float(number)))
    others = await asyncio.gather(*(Store.open(settings) for _ in range(4)))
    await store.close()
    claimed = await asyncio.gather(*(other.take_over(LONG) for other in others))
    for runs in claimed:
        assert [run.created_at for run in runs] == sorted(run.created_at for run in runs)
    assert sorted(run.id for runs in claimed for run in runs) == sorted(f"run_{number}" for number in range(20))
    for other in others:
        await other.close()


async def test_runs_that_begin_after_their_worker_was_given_up_are_its_own_all_the_same(
    store: Store, other: Store, settings: StateSettings
) -> None:
    await grow_old(store, 100)
    await other.beat()
    await other.take_over(50)
    await store.begin(a_run("run"))
    assert await other.take_over(50) == []


async def test_a_beat_tells_what_is_owned_and_what_is_to_be_cancelled(store: Store, other: Store) -> None:
    for name in ("one", "two", "three"):
        await store.begin(a_run(name))
    await store.finish("ada", "three", finished("Hi"))
    assert await other.ask_to_cancel("ada", "two")
    assert not await other.ask_to_cancel("ada", "three"), "it has ended"
    assert not await other.ask_to_cancel("bob", "one"), "it is another tenant's"
    assert not await other.ask_to_cancel("ada", "nobody")
    beat = await store.beat()
    assert beat.owned == {("ada", "one"), ("ada", "two")}
    assert beat.cancelled == {("ada", "two")}
    assert (await other.beat()).owned == set()


async def test_whoever_takes_a_run_over_is_asked_to_cancel_it_too(store: Store, other: Store) -> None:
    await store.begin(a_run("run"))
    await other.ask_to_cancel("ada", "run")
    await store.close()
    await other.take_over(LONG)
    assert (await other.beat()).cancelled == {("ada", "run")}


async def test_a_killed_process_is_seen_to_be_dead_at_once(store: Store, other: Store) -> None:
    await store.begin(a_run("run"))
    sleeper = await asyncio.create_subprocess_exec("sleep", "600")
    name = process(sleeper.pid)
    await change(store, f"UPDATE worker SET process = '{name}' WHERE id = '{store._worker}'")
    assert await other.take_over(LONG) == []
    sleeper.kill()
    await sleeper.wait()
    assert [run.id for run in await other.take_over(LONG)] == ["run"]


def test_a_process_has_ended_when_its_number_is_anothers_and_not_when_its_machine_is() -> None:
    me = process(os.getpid())
    assert not has_ended(me)
    machine, number, *started = me.split(" ")
    assert not has_ended(f"elsewhere {number} 1")
    if started:
        assert has_ended(f"{machine} {number} 1")
