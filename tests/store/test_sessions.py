"""What operators are told of the sessions of the store, which they only read."""

from __future__ import annotations

import pytest

from programs.errors import StoreError
from store import StateSettings, Store
from tests.store.samples import a_run, finished, said


async def test_sessions_are_listed_newest_first_and_found_with_their_runs(
    store: Store, settings: StateSettings
) -> None:
    old = await store.record(a_run("old", said("Be brief.", "Hello")), finished("Hi."))
    later = a_run("new", said("Be quick.", "Hello"), tenant="bob", created_at=2000.0)
    new = await store.record(later, finished("Hi.", completed_at=2001.0))
    async with await Store.look(settings) as looking:
        assert [session.id for session in await looking.sessions(limit=10)] == [new, old]
        assert [session.id for session in await looking.sessions("ada", limit=10)] == [old]
        (found,) = await looking.sessions_of(new)
        assert (found.id, found.tenant) == (new, "bob")
        assert [run.id for run in await looking.runs_of("bob", new)] == ["new"]
        with pytest.raises(StoreError):
            await looking.delete("bob", "new")
    assert await store.run("bob", "new") is not None
