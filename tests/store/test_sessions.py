"""What whoever looks in is told of the sessions of the store, which he only reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from programs import Usage
from programs.errors import StoreError
from programs.transcript import Transcript
from store import StateSettings, Store, StoredSession, Wanted
from store.tables import CALLED, COSTS
from tests.store.samples import a_run, finished, from_before, look, said, then, user

MINE = Wanted(tenant="ada")


async def one(store: Store) -> StoredSession:
    (found,) = await store.find_sessions(MINE)
    return found


async def ids(store: Store, wanted: Wanted) -> list[str]:
    return [session.id for session in await store.find_sessions(wanted)]


async def test_sessions_are_listed_newest_first_and_found_with_their_runs(
    store: Store, settings: StateSettings
) -> None:
    old = await store.record(a_run("old", said("Be brief.", "Hello")), finished("Hi."))
    later = a_run("new", said("Be quick.", "Hello"), tenant="bob", created_at=2000.0)
    new = await store.record(later, finished("Hi.", completed_at=2001.0))
    async with await Store.look(settings) as looking:
        assert await ids(looking, Wanted(tenant=None)) == [new, old]
        assert await ids(looking, MINE) == [old]
        (found,) = await looking.sessions_of(new)
        assert (found.id, found.tenant) == (new, "bob")
        assert [run.id for run in await looking.runs_of("bob", new)] == ["new"]
        with pytest.raises(StoreError):
            await looking.delete("bob", "new")
    assert await store.run("bob", "new") is not None


async def test_a_session_is_called_by_what_its_user_asked_first(store: Store) -> None:
    asked = f"  Who \n\t wrote\u2028 this?{' x' * 500}"
    first = said("Be brief.", "Not this", "No.", asked)
    await store.record(a_run("one", first), finished("Ann."))
    await store.record(a_run("two", then(first, *finished("Ann.").output, user("And that?"))), finished("Bob."))
    found = await one(store)
    assert found.title.startswith("Who wrote this? x x")
    assert len(found.title) == 199, "the 200th would have been a blank"
    assert (found.runs, found.messages) == (2, 7)


async def test_a_session_about_a_long_text_is_called_by_what_is_asked_about_it(store: Store) -> None:
    asked = f"{'Nothing of note was said. ' * 2000}\n\nWho wrote this?"
    await store.record(a_run("one", said("Be brief.", asked)), finished("Ann."))
    assert (await one(store)).title == "Who wrote this?"


async def test_a_session_without_a_user_has_no_title(store: Store) -> None:
    await store.record(a_run("one", Transcript()), finished("Hi."))
    assert (await one(store)).title == ""


async def test_costs_are_those_of_the_runs_that_are_left(store: Store) -> None:
    first = said("Be brief.", "Hello")
    await store.begin(a_run("one", first))
    begun = await one(store)
    assert (begun.status, begun.runs, begun.seconds, begun.usage) == ("in_progress", 1, 0.0, Usage())
    await store.finish("ada", "one", finished("Hi.", completed_at=1002.0))
    longer = then(first, *finished("Hi.").output, user("And?"))
    await store.begin(a_run("two", longer, created_at=1010.0, background=True))
    assert (await one(store)).status == "queued"
    exact = Usage(prompt=5, completion=1)
    failed = finished("No.", outcome="failed", completed_at=1011.0, reason="timeout")
    await store.finish("ada", "two", replace(failed, done=replace(failed.done, usage=exact)))
    both = await one(store)
    assert (both.status, both.runs, both.seconds) == ("failed", 2, 3.0)
    assert both.usage == exact + finished().done.usage
    await store.delete("ada", "one")
    left = await one(store)
    assert (left.status, left.runs, left.seconds, left.usage) == ("failed", 1, 1.0, exact)
    await store.expire(9e9)
    assert await store.find_sessions(MINE) == []


async def test_the_newest_run_says_how_a_session_is_doing_also_when_an_older_one_ends_later(store: Store) -> None:
    for run_id, at in (("old", 1000.0), ("new", 1005.0)):
        await store.begin(a_run(run_id, created_at=at, session_key="same"))
    await store.finish("ada", "old", finished("Hi.", outcome="failed", completed_at=1010.0))
    assert (await one(store)).status == "in_progress"
    await store.delete("ada", "new")
    assert (await one(store)).status == "failed"


async def test_sessions_are_found_by_what_they_are_called_and_cost(store: Store) -> None:
    found = {}
    for index, (name, asked, key) in enumerate(
        [("tea", "Größe der TEEKANNE?", None), ("cup", "100% of a_b", "Client-Key"), ("pot", "1000 of aXb", None)]
    ):
        ended = finished("Yes.", outcome="failed" if name == "pot" else "completed", completed_at=1001.0 + index)
        usage = Usage(prompt=10**index, completion=1)
        run = a_run(name, said("Be brief.", asked), session_key=key)
        found[name] = await store.record(run, replace(ended, done=replace(ended.done, usage=usage)))
    for text, names in (
        ("GRÖSSE  der teekanne", ["tea"]),
        ("100%", ["cup"]),
        ("a_b", ["cup"]),
        ("of", ["pot", "cup"]),
        ("client-KEY", ["cup"]),
        (found["pot"][5:].upper(), ["pot"]),
        ("' OR 1=1 --", []),
        ("x" * 100_000, []),
    ):
        assert await ids(store, Wanted(tenant="ada", text=text)) == [found[name] for name in names], text
    for wanted, names in (
        (Wanted(tenant="ada", statuses=frozenset({"failed"})), ["pot"]),
        (Wanted(tenant="ada", statuses=frozenset({"failed", "completed"})), ["pot", "cup", "tea"]),
        (Wanted(tenant="ada", tokens=(11, None)), ["pot", "cup"]),
        (Wanted(tenant="ada", tokens=(0, 11)), ["cup", "tea"]),
        (Wanted(tenant="ada", seconds=(2.0, 2.5)), ["cup"]),
        (Wanted(tenant="ada", limit=1), ["pot"]),
        (Wanted(tenant="bob"), []),
    ):
        assert await ids(store, wanted) == [found[name] for name in names], wanted


async def test_a_key_that_a_session_gets_later_finds_it(store: Store) -> None:
    await store.record(a_run("one"), finished("Hi."))
    assert await ids(store, Wanted(tenant="ada", text="later-key")) == []
    again = then(a_run("one").transcript, *finished("Hi.").output, user("And?"))
    session = await store.record(a_run("two", again, previous="one", session_key="Later-Key"), finished("Yes."))
    assert await ids(store, Wanted(tenant="ada", text="later-key")) == [session]


async def test_pages_follow_each_other_without_a_gap(store: Store) -> None:
    for index in range(7):
        ended = finished("Hi.", completed_at=1001.0 + index // 3)
        await store.record(a_run(f"{index}", said("Be brief.", f"{index}?")), ended)
    every = await store.find_sessions(MINE)
    assert len(every) == 7
    assert every == sorted(every, key=lambda session: (-session.updated_at, session.id))
    pages: list[StoredSession] = []
    before = None
    while page := await store.find_sessions(Wanted(tenant="ada", before=before, limit=2)):
        pages += page
        before = (page[-1].updated_at, page[-1].id)
    assert pages == every


async def test_sessions_from_before_are_told_as_well(settings: StateSettings) -> None:
    async with await Store.open(settings) as store:
        asked = 'Say "é\\"\n \x01 ' + "y" * 10_000
        await store.record(a_run("one", said("Be brief.", asked, "What?", asked), session_key="KEY"), finished("Hi."))
        await store.record(
            a_run("two", session_key="KEY", created_at=1002.0),
            finished("Hi.", outcome="cancelled", completed_at=1003.0),
        )
        await store.begin(a_run("three", Transcript(), tenant="bob"))
        before = await store.find_sessions(Wanted(tenant=None))
    columns = look(settings, "SELECT * FROM session ORDER BY id")
    undone = [f'ALTER TABLE session DROP COLUMN "{name}"' for name in (*CALLED[1:], *COSTS)]
    indexes = (
        "DROP INDEX session_tenant_updated_at",
        "DROP INDEX run_tenant_session_created_at",
        "CREATE INDEX run_tenant_session ON run (tenant, session)",
    )
    from_before(settings, "0009_sessions", *indexes, *undone)
    async with await Store.open(settings) as store:
        assert await store.find_sessions(Wanted(tenant=None)) == before
    assert look(settings, "SELECT * FROM session ORDER BY id") == columns


async def test_runs_are_told_with_their_questions_a_page_at_a_time(store: Store) -> None:
    first = said("Be brief.", "Hello  there")
    session = await store.record(a_run("0", first), finished("Hi."))
    for index in range(1, 5):
        asked = then(first, *(user(f"Question {number}" + "\n" * 9 + "!") for number in range(index + 1)))
        run = a_run(str(index), asked, previous="0", created_at=1000.0 + index)
        assert await store.record(run, finished("Hi.", completed_at=2000.0)) == session
    every = await store.runs_of("ada", session)
    assert [run.question for run in every] == ["Hello there", *(f"Question {index} !" for index in range(1, 5))]
    assert await store.runs_of("ada", session, limit=2, offset=1) == every[1:3]
    assert await store.runs_of("ada", session, limit=2, offset=4) == every[4:]
    assert await store.runs_of("bob", session) == []
