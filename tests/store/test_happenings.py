"""What a run did with its context, read event by event and at a glance."""

from __future__ import annotations

from programs.events import CodeRan, ModelCalled, Trajectory
from programs.glance import glance
from programs.transcript import Usage
from store import StateSettings, Store
from tests.store.samples import a_run, from_before, look

EVENTS: list[Trajectory] = [
    ModelCalled("one", 1, "What is in \0 part?", "Nothing é.", None, Usage(prompt=10, completion=2), 5.0, 0.5),
    ModelCalled("one", 1, "And there?", None, "No answer.", Usage(), 5.5, 0.25),
    CodeRan("one", 1, "x" * 1_000_000, None, False, 6.0, 0.125),
]


async def test_what_happened_is_seen_at_a_glance_and_each_event_whole(store: Store) -> None:
    await store.begin(a_run("one"))
    await store.happened("ada", "one", 0, EVENTS[:2])
    await store.happened("ada", "one", 2, EVENTS[2:])
    seen = [glance(number, event) for number, event in enumerate(EVENTS)]
    assert await store.glances("ada", "one") == seen
    assert await store.glances("ada", "one", after=0) == seen[1:]
    assert await store.glances("ada", "one", after=0, limit=1) == seen[1:2]
    assert [await store.happening("ada", "one", number) for number in range(4)] == [*EVENTS, None]


async def test_nobody_sees_what_another_tenants_run_did(store: Store) -> None:
    await store.begin(a_run("one"))
    await store.happened("ada", "one", 0, EVENTS)
    assert await store.glances("bob", "one") == []
    assert await store.happening("bob", "one", 0) is None


async def test_what_a_run_did_goes_with_it(store: Store, settings: StateSettings) -> None:
    await store.begin(a_run("one"))
    await store.happened("ada", "one", 0, EVENTS)
    await store.delete("ada", "one")
    assert look(settings, "SELECT count(*) FROM glance") == [(0,)]


async def test_events_from_before_there_were_glances_have_them(settings: StateSettings) -> None:
    async with await Store.open(settings) as store:
        await store.begin(a_run("one"))
        await store.happened("ada", "one", 0, EVENTS * 40)
        seen = await store.glances("ada", "one")
    from_before(settings, "0008_glances", "DROP TABLE glance")
    async with await Store.open(settings) as store:
        assert await store.glances("ada", "one") == seen
