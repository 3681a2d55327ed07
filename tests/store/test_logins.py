"""Browsers that have shown a key."""

from __future__ import annotations

import time

from store import Login, StateSettings, Store
from tests.store.samples import look


def login(digest: str, seconds: float, tenant: str = "ada") -> Login:
    return Login(digest, tenant, f"digest of the key of {tenant}", time.time() + seconds)


async def test_a_login_is_found_whosever_it_is_until_it_is_dropped(store: Store) -> None:
    mine, theirs = login("aa", 60.0), login("bb", 60.0, "bob")
    for each in (mine, theirs):
        await store.add_login(each)
    assert [await store.login(digest) for digest in ("aa", "bb", "cc")] == [mine, theirs, None]
    await store.drop_login("aa")
    await store.drop_login("nothing")
    assert [await store.login(digest) for digest in ("aa", "bb")] == [None, theirs]


async def test_a_login_that_has_expired_is_nothing_and_goes_with_the_next(
    store: Store, settings: StateSettings
) -> None:
    await store.add_login(login("old", -1.0))
    assert await store.login("old") is None
    await store.add_login(login("new", 60.0))
    assert look(settings, "SELECT digest FROM login") == [("new",)]
