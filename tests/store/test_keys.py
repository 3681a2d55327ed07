"""API keys in the store, and the counting of what each spends in a day."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from programs.errors import QuotaSpent
from store import DAY, Key, StateSettings, Store
from tests.store.samples import a_run, finished

NOON = 20_000 * DAY + 43_200.0
PLAIN = Key(id="key_1", tenant="ada", digest="aa", created_at=1.0)
FULL = Key(
    id="key_2",
    tenant="ben",
    digest="bb",
    created_at=2.0,
    name="laptop",
    expires_at=9.0,
    models=frozenset({"rants-one"}),
    tools=frozenset(),
    calls_per_day=3,
    tokens_per_day=10**12,
)


async def test_a_key_is_given_back_as_it_was_kept(store: Store) -> None:
    await store.add_key(FULL)
    await store.add_key(PLAIN)
    assert await store.keys() == [PLAIN, FULL]
    await store.used_key("key_1", 5.0)
    assert await store.keys() == [replace(PLAIN, used_at=5.0), FULL]
    assert "aa" not in repr(PLAIN)


async def test_a_key_is_revoked_once_and_stays_in_the_list(store: Store) -> None:
    await store.add_key(PLAIN)
    assert await store.revoke_key("key_1", 7.0) == replace(PLAIN, revoked_at=7.0)
    assert await store.revoke_key("key_1", 8.0) == replace(PLAIN, revoked_at=7.0)
    assert await store.revoke_key("key_9", 8.0) is None
    assert await store.keys() == [replace(PLAIN, revoked_at=7.0)]


async def test_the_calls_of_a_day_are_counted_and_the_next_day_begins_anew(store: Store) -> None:
    async def take(at: float) -> None:
        await store.take_call("ada", "key_1", at, calls=2, tokens=None)

    await take(NOON)
    await take(NOON + 1)
    for _ in range(2):
        with pytest.raises(QuotaSpent, match="2 calls") as refused:
            await take(NOON + 2)
        assert refused.value.retry_after == 43_198
    assert await store.spent_of_day(NOON) == {("ada", "key_1"): (2, 0)}, "what was refused is not counted"
    await take(NOON + 43_200)
    assert await store.spent_of_day(NOON + 43_200) == {("ada", "key_1"): (1, 0)}


async def test_what_runs_cost_is_counted_with_their_key(store: Store) -> None:
    cost = 37  # of each sample
    end = replace(finished("Hi", completed_at=NOON), key="key_1")
    await store.take_call("ada", "key_1", NOON, calls=None, tokens=3 * cost)
    await store.begin(replace(a_run("one"), key="key_1"))
    await store.finish("ada", "one", end)
    await store.record(replace(a_run("two"), key="key_1"), end)
    await store.take_call("ada", "key_1", NOON, calls=None, tokens=3 * cost)
    await store.spent("ada", "three", end)
    with pytest.raises(QuotaSpent, match="111 tokens"):
        await store.take_call("ada", "key_1", NOON, calls=None, tokens=3 * cost)
    await store.take_call("ada", "key_2", NOON, calls=None, tokens=3 * cost)
    assert await store.spent_of_day(NOON) == {("ada", "key_1"): (2, 111), ("ada", "key_2"): (1, 0)}
    kept = await store.run("ada", "one")
    assert kept is not None
    assert kept.key == "key_1"


async def test_two_processes_do_not_take_the_same_last_call(store: Store, settings: StateSettings) -> None:
    async with await Store.open(settings) as other:
        taken = await asyncio.gather(
            *(one.take_call("ada", "key_1", NOON, calls=5, tokens=None) for _ in range(10) for one in (store, other)),
            return_exceptions=True,
        )
    assert taken.count(None) == 5
    assert all(one is None or isinstance(one, QuotaSpent) for one in taken), taken
    assert await store.spent_of_day(NOON) == {("ada", "key_1"): (5, 0)}
