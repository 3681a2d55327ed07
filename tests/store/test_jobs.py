from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from programs.errors import NotFound, StoreError
from programs.transcript import Usage
from store import StateSettings, Store, StoredRun
from tests.store.samples import a_run, assistant, count, finished, look, said, then, user

HELLO = said("Be brief.", "Hello")
NOTHING = {"message": 0, "prefix": 0, "session": 0, "run": 0, "usage": 0}


async def test_a_run_is_given_back_as_it_was_kept(store: Store) -> None:
    session = await store.begin(a_run("run", HELLO, previous="gone", session_key="key"))
    begun = StoredRun(
        id="run",
        tenant="ada",
        session=session,
        status="in_progress",
        key=None,
        background=False,
        model="rants-one",
        request={"temperature": 0.5, "metadata": {"of": "run"}},
        question="Hello",
        previous="gone",
        created_at=1000.0,
        completed_at=None,
        text="",
        steps=(),
        timeline=(),
        reason=None,
        message=None,
        usage=Usage(),
    )
    assert session.startswith("sess_")
    assert await store.run("ada", "run") == begun
    end = finished("Hi", " there", outcome="failed", reason="server_error")
    assert await store.finish("ada", "run", end)
    kept = await store.run("ada", "run")
    assert kept is not None
    assert (kept.status, kept.completed_at, kept.text) == ("failed", 1001.0, "Hi there")
    assert (kept.steps, kept.timeline, kept.usage) == (end.steps, (3, 1, 4), end.done.usage)
    assert (kept.reason, kept.message) == ("server_error", "It broke.")
    assert await store.transcript("ada", "run", output=False) == HELLO
    assert await store.transcript("ada", "run", output=True) == then(HELLO, *end.output)


async def test_a_run_in_the_background_is_queued_until_it_ends(store: Store) -> None:
    await store.begin(a_run("run", background=True))
    queued = await store.run("ada", "run")
    await store.finish("ada", "run", finished("Hi"))
    done = await store.run("ada", "run")
    assert [run and run.status for run in (queued, done)] == ["queued", "completed"]
    assert done is not None
    assert done.background


async def test_recording_leaves_what_beginning_and_finishing_leave(store: Store, settings: StateSettings) -> None:
    async def left() -> list[object]:
        run = await store.run("ada", "run")
        assert run is not None
        tables = (
            "SELECT * FROM prefix ORDER BY length",
            "SELECT digest, body FROM message ORDER BY digest",
            "SELECT tenant, key, parent, depth, head, created_at, updated_at FROM session",
            "SELECT input, output FROM run",
            "SELECT tenant, run, created_at, outcome, seconds, prompt, cached FROM usage ORDER BY id DESC LIMIT 1",
        )
        return [replace(run, session=""), *(look(settings, table) for table in tables)]

    await store.record(a_run("run", session_key="key"), finished("Hi"))
    recorded = await left()
    await store.delete("ada", "run")
    await store.begin(a_run("run", session_key="key"))
    await store.finish("ada", "run", finished("Hi"))
    assert await left() == recorded


async def test_a_run_is_finished_once(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("run"), finished("Hi"))
    before = await store.run("ada", "run")
    assert not await store.finish("ada", "run", finished("Other", outcome="cancelled"))
    assert await store.run("ada", "run") == before
    assert count(settings)["usage"] == 1


async def test_of_a_run_deleted_meanwhile_only_the_cost_is_kept(store: Store, settings: StateSettings) -> None:
    await store.begin(a_run("run"))
    assert await store.delete("ada", "run")
    assert not await store.finish("ada", "run", finished("Hi"))
    assert count(settings) == NOTHING | {"usage": 1}


async def test_a_run_that_is_not_kept_leaves_its_cost(store: Store, settings: StateSettings) -> None:
    await store.spent("ada", "run", finished("Secret", outcome="incomplete"))
    assert count(settings) == NOTHING | {"usage": 1}
    assert look(settings, "SELECT tenant, run, created_at, outcome, seconds FROM usage") == [
        ("ada", "run", 1001.0, "incomplete", 1.5)
    ]
    assert look(settings, "SELECT prompt, completion, cached, estimated FROM usage") == [(30, 7, 20, 1)]


async def test_a_second_run_of_the_same_name_is_refused_and_changes_nothing(
    store: Store, settings: StateSettings
) -> None:
    await store.record(a_run("run"), finished("Hi"))
    before = count(settings)
    with pytest.raises(StoreError, match=r"UNIQUE|duplicate key"):
        await store.record(a_run("run", said("Be long.", "Hello")), finished("Hi"))
    assert count(settings) == before


async def test_unfinished_are_the_runs_of_all_tenants_that_have_not_ended(store: Store) -> None:
    await store.begin(a_run("late", created_at=30.0))
    await store.begin(a_run("early", tenant="bob", created_at=10.0, background=True))
    await store.begin(a_run("ended", created_at=20.0))
    await store.finish("ada", "ended", finished("Hi"))
    assert [(run.tenant, run.id) for run in await store.unfinished()] == [("bob", "early"), ("ada", "late")]


async def test_a_transcript_of_an_unknown_run_is_not_found(store: Store) -> None:
    assert await store.run("ada", "nobody") is None
    assert not await store.delete("ada", "nobody")
    with pytest.raises(NotFound, match="nobody"):
        await store.transcript("ada", "nobody", output=True)


# --- sessions


async def test_a_session_is_found_by_its_key(store: Store) -> None:
    first = await store.record(a_run("one", session_key="key"), finished("Hi"))
    assert await store.record(a_run("two", said("Another subject"), session_key="key"), finished("Hi")) == first
    assert await store.record(a_run("three", session_key="other"), finished("Hi")) != first


async def test_a_session_is_found_by_a_key_of_any_length(store: Store) -> None:
    key = random.Random(1).randbytes(30_000).hex()
    first = await store.record(a_run("one", session_key=key), finished("Hi"))
    assert await store.record(a_run("two", said("Another subject"), session_key=key), finished("Hi")) == first
    assert await store.record(a_run("three", HELLO, session_key=f"{key}!"), finished("Hi")) != first


async def test_a_session_is_found_by_a_previous_run(store: Store) -> None:
    first = await store.record(a_run("one"), finished("Hi"))
    assert await store.record(a_run("two", said("Another subject"), previous="one"), finished("Hi")) == first
    assert await store.record(a_run("three", said("Another subject"), previous="gone"), finished("Hi")) != first


async def test_a_session_is_found_by_the_longest_transcript_that_goes_on(store: Store) -> None:
    short = await store.record(a_run("one", HELLO), finished("Hi"))
    longer = then(HELLO, assistant("Hi"), user("How are you?"))
    branch = await store.record(a_run("two", longer, session_key="branch"), finished("Fine"))
    assert branch == short
    assert await store.begin(a_run("by_key", said("Something else"), session_key="branch")) == short
    other = await store.record(a_run("three", HELLO, session_key="mine"), finished("Hi"))
    assert other != short
    longest = then(longer, assistant("Fine"), user("Good."), user("Really?"))
    assert await store.begin(a_run("four", longest)) == short
    assert await store.begin(a_run("five", then(HELLO, assistant("Hi"), user("Bye.")))) == other
    assert await store.begin(a_run("six", said("Be brief.", "Hello?"))) not in {short, other}


async def test_a_session_of_another_key_is_not_joined_however_alike_they_begin(store: Store) -> None:
    first = await store.record(a_run("one", HELLO, session_key="first"), finished("Hi"))
    longer = then(HELLO, assistant("Hi"), user("How are you?"))
    second = await store.record(a_run("two", longer, session_key="second"), finished("Fine"))
    assert second != first
    assert await store.begin(a_run("three", longer, session_key="first")) == first


async def test_the_same_beginning_twice_is_two_sessions(store: Store) -> None:
    first = await store.record(a_run("one", HELLO), finished("Hi"))
    assert await store.record(a_run("two", HELLO), finished("Hi")) != first


async def test_a_run_that_appends_nothing_can_be_tried_again_in_its_session(store: Store) -> None:
    first = await store.record(a_run("one", HELLO), finished("Hi"))
    longer = then(HELLO, assistant("Hi"), user("How are you?"))
    failure = finished(outcome="failed", reason="boom")
    assert await store.record(a_run("two", longer), failure) == first
    assert await store.begin(a_run("three", longer)) == first
    assert await store.finish("ada", "three", failure)
    assert await store.record(a_run("four", longer), finished("Fine")) == first


# --- tenants


async def test_tenants_share_nothing_and_see_nothing_of_each_other(store: Store, settings: StateSettings) -> None:
    mine = await store.record(a_run("run", tenant="ada", session_key="key"), finished("Hi"))
    alone = count(settings)
    his = await store.begin(a_run("run", tenant="bob", session_key="key"))
    assert his != mine
    await store.finish("bob", "run", finished("Hi"))
    assert count(settings) == {table: 2 * number for table, number in alone.items()}

    assert await store.run("eve", "run") is None
    assert not await store.delete("eve", "run")
    assert not await store.finish("eve", "run", finished("Stolen"))
    with pytest.raises(NotFound):
        await store.transcript("eve", "run", output=True)
    longer = then(HELLO, assistant("Hi"), user("More"))
    assert await store.begin(a_run("eve_1", HELLO, tenant="eve", session_key="key")) not in {mine, his}
    assert await store.begin(a_run("eve_2", HELLO, tenant="eve", previous="run")) not in {mine, his}
    assert await store.begin(a_run("eve_3", longer, tenant="eve")) not in {mine, his}

    before = await store.run("ada", "run"), await store.transcript("ada", "run", output=True)
    assert await store.delete("bob", "run")
    assert (await store.run("ada", "run"), await store.transcript("ada", "run", output=True)) == before
    assert look(settings, "SELECT count(*) FROM message WHERE tenant = 'bob'") == [(0,)]


# --- deletion


async def test_deleting_the_only_run_leaves_its_cost_alone(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("run"), finished("Hi"))
    assert await store.delete("ada", "run")
    assert not await store.delete("ada", "run")
    assert await store.run("ada", "run") is None
    assert count(settings) == NOTHING | {"usage": 1}


async def test_deleting_keeps_what_another_run_goes_on_from(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("one", HELLO), finished("Hi"))
    longer = then(HELLO, assistant("Hi"), user("How are you?"))
    await store.record(a_run("two", longer), finished("Fine"))
    before = count(settings)
    assert await store.delete("ada", "one")
    assert count(settings) == before | {"run": 1}
    assert await store.transcript("ada", "two", output=True) == then(longer, assistant("Fine"))
    assert await store.delete("ada", "two")
    assert count(settings) == NOTHING | {"usage": 2}


async def test_deleting_the_newest_run_takes_its_words_and_sets_the_session_back(
    store: Store, settings: StateSettings
) -> None:
    session = await store.record(a_run("one", HELLO, created_at=1.0), finished("Hi"))
    longer = then(HELLO, assistant("Hi"), user("My secret"))
    await store.record(a_run("two", longer, created_at=2.0), finished("I see"))
    assert await store.delete("ada", "two")
    assert count(settings) == {"message": 3, "prefix": 3, "session": 1, "run": 1, "usage": 2}
    assert look(settings, "SELECT count(*) FROM message WHERE body LIKE '%secret%'") == [(0,)]
    assert await store.begin(a_run("three", then(HELLO, assistant("Hi"), user("Bye")))) == session


async def test_deleting_one_branch_keeps_the_trunk_and_the_words_of_the_other(
    store: Store, settings: StateSettings
) -> None:
    await store.record(a_run("left", then(HELLO, user("left"), user("again"))), finished("Hi"))
    await store.record(a_run("right", then(HELLO, user("right"), user("again"))), finished("Hi"))
    assert await store.delete("ada", "left")
    assert count(settings) == {"message": 5, "prefix": 5, "session": 1, "run": 1, "usage": 2}
    assert await store.transcript("ada", "right", output=True) == then(
        HELLO, user("right"), user("again"), assistant("Hi")
    )


async def test_deleting_keeps_the_transcript_of_a_run_that_said_the_same(store: Store, settings: StateSettings) -> None:
    for name in ("one", "two"):
        await store.record(a_run(name, HELLO, session_key="key"), finished("Hi"))
    await store.record(a_run("three", said("Another subject"), session_key="key"), finished("Yes"))
    before = count(settings)
    assert await store.delete("ada", "one")
    assert count(settings) == before | {"run": 2}
    assert await store.transcript("ada", "two", output=True) == then(HELLO, assistant("Hi"))


async def test_deleting_keeps_the_transcript_in_which_a_session_ends(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("run", HELLO), finished("Hi"))

    def open_child(db: Any) -> None:
        head = db.execute_sql("SELECT head FROM session").fetchone()[0]
        values = ("ada", "sess_child", "sess_parent", 1, head, 1.0, 1.0)
        columns = "tenant, id, parent, depth, head, created_at, updated_at"
        db.execute_sql(f"INSERT INTO session ({columns}) VALUES ({', '.join([db.param] * 7)})", values)

    await store._writer.do(open_child)
    assert await store.delete("ada", "run")
    assert count(settings) == {"message": 3, "prefix": 3, "session": 1, "run": 0, "usage": 1}
