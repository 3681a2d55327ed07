"""What is forgotten after a time, and what is not."""

from __future__ import annotations

from programs.tools import Execution
from store import DAY, StateSettings, Store
from store.retention import BATCH
from tests.store.samples import a_run, count, finished, look, said


async def test_what_ended_before_is_gone_and_what_goes_on_from_it_is_whole(store: Store) -> None:
    first, then = said("Be brief.", "Hello"), said("Be brief.", "Hello", "Hi.", "And now?")
    await store.record(a_run("old", first), finished("Hi.", completed_at=100.0))
    await store.record(a_run("new", then), finished("Now.", completed_at=200.0))
    await store.begin(a_run("running", said("Be brief.", "Wait"), tenant="bob", created_at=1.0))
    assert await store.expire(150.0) is False
    assert await store.run("ada", "old") is None
    kept = await store.transcript("ada", "new", output=True)
    assert [message.content for message in kept.messages] == ["Be brief.", "Hello", "Hi.", "And now?", "Now."]
    assert await store.run("bob", "running") is not None


async def test_nothing_is_left_but_what_it_cost(store: Store, settings: StateSettings) -> None:
    for index in range(BATCH + 1):
        await store.record(a_run(f"run-{index}", said("Be brief.", f"{index}?")), finished("Yes.", completed_at=1.0))
    await store.audit("ada", "run-0", "", Execution(call="c", tool="read", digest="d", seconds=0.5, outcome="ok"))
    await store.audit("bob", "run-9", "", Execution(call="c", tool="read", digest="d", seconds=0.5, outcome="ok"))
    assert await store.expire(2.0) is True
    assert await store.expire(9e9) is False
    assert count(settings) == {"message": 0, "prefix": 0, "session": 0, "run": 0, "usage": BATCH + 1}
    assert look(settings, "SELECT run FROM audit") == []


async def test_what_was_spent_on_a_day_is_forgotten_after_it(store: Store, settings: StateSettings) -> None:
    for day in (10, 12):
        await store.take_call("ada", "key", day * DAY + 5.0, calls=9, tokens=None)
    await store.expire(11.5 * DAY)
    assert look(settings, "SELECT day FROM daily") == [(12,)]
