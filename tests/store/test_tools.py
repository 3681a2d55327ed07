"""What the store keeps of tools: who made a call, what was executed, and to-do lists."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from programs.tools.protocol import Execution
from programs.transcript import Message, ToolCall, ToolIntent
from store import Finished, StateSettings, Store
from tests.store.samples import a_run, finished, look, said

type Outcome = Literal["ok", "failed", "cancelled", "error"]

HELLO = said("Be brief.", "Hello")


def made(*ids: str, text: str = "I look.") -> Message:
    calls = tuple(ToolCall(id=name, name="look", arguments="{}") for name in ids)
    return Message(
        role="assistant", content=text, intents=(ToolIntent(text="look", blocks={"A": "\r\n"}),), tool_calls=calls
    )


def ending(*output: Message) -> Finished:
    end = finished("Hi")
    return Finished(end.done, end.seconds, output, end.steps, end.timeline)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_run_is_found_by_its_calls(store: Store, at_once: bool) -> None:
    output = (made("c1", "c2"), Message(role="tool", content="found", tool_call_id="c1"), made("c3", text=""))
    if at_once:
        await store.record(a_run("run", HELLO), ending(*output))
    else:
        await store.begin(a_run("run", HELLO))
        assert await store.said("ada", ["c1"]) == {}
        await store.finish("ada", "run", ending(*output))
    for call in ("c1", "c2", "c3"):
        assert (await store.said("ada", [call, "c9"]))[call] == output
    assert set(await store.said("ada", ["c1", "c9"])) >= {"c1"}
    assert "c9" not in await store.said("ada", ["c1", "c9"])
    assert await store.said("ada", []) == {}


async def test_a_run_that_was_given_nothing_is_found_too(store: Store) -> None:
    await store.record(a_run("run", said()), ending(made("c1")))
    assert (await store.said("ada", ["c1"]))["c1"] == (made("c1"),)


async def test_tenants_are_kept_apart_also_where_ids_are_the_same(store: Store) -> None:
    await store.record(a_run("run", HELLO), ending(made("c1", text="Ada's.")))
    assert await store.said("bob", ["c1"]) == {}
    await store.record(a_run("run", HELLO, tenant="bob"), ending(made("c1", text="Bob's.")))
    assert [(await store.said(name, ["c1"]))["c1"][0].content for name in ("ada", "bob")] == ["Ada's.", "Bob's."]
    await store.delete("bob", "run")
    assert set(await store.said("ada", ["c1"])) == {"c1"}


async def test_calls_go_with_their_run(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("run", HELLO), ending(made("c1", "c2")))
    await store.record(a_run("other", HELLO), ending(made("c3")))
    assert await store.delete("ada", "run")
    assert look(settings, "SELECT id, run FROM call") == [("c3", "other")]
    assert await store.said("ada", ["c1"]) == {}


async def test_the_first_run_with_a_call_keeps_it(store: Store) -> None:
    await store.record(a_run("first", HELLO), ending(made("c1", text="First.")))
    await store.record(a_run("second", HELLO), ending(made("c1", text="Second.")))
    assert (await store.said("ada", ["c1"]))["c1"][0].content == "First."


async def test_thousands_of_calls_are_looked_up(store: Store) -> None:
    await store.record(a_run("run", HELLO), ending(made(*(f"c{n}" for n in range(500)))))
    found = await store.said("ada", [f"c{n}" for n in range(2000)])
    assert len(found) == 500


async def test_ids_are_values_and_never_statements(store: Store, settings: StateSettings) -> None:
    await store.record(a_run("run", HELLO), ending(made("c1")))
    assert await store.said("ada", ["' OR 1=1 --", "%", "c_", "", "\0", "c1\0"]) == {}
    assert look(settings, "SELECT count(*) FROM call") == [(1,)]


async def test_a_to_do_list_is_its_session_s_and_its_tenant_s(store: Store) -> None:
    session = await store.record(a_run("run", HELLO), finished("Hi"))
    other = await store.record(a_run("run", HELLO, tenant="bob"), finished("Hi"))
    assert await store.todos("ada", session) == []
    lists: list[list[dict[str, Any]]] = [[{"content": "é\u2028"}, {"deep": [{"a": None}]}], [], [{"content": "b"}]]
    for todos in lists:
        await store.set_todos("ada", session, todos)
        assert await store.todos("ada", session) == todos
    assert await store.todos("bob", session) == []
    assert await store.todos("bob", other) == []


async def test_a_to_do_list_goes_with_its_session(store: Store, settings: StateSettings) -> None:
    session = await store.record(a_run("run", HELLO), finished("Hi"))
    await store.set_todos("ada", session, [{"content": "a"}])
    await store.delete("ada", "run")
    assert look(settings, "SELECT * FROM todo") == []


async def test_every_execution_is_a_row_of_its_tenant_without_the_arguments_and_stays(
    store: Store, settings: StateSettings
) -> None:
    session = await store.record(a_run("run", HELLO), finished("Hi"))
    outcomes: tuple[Outcome, ...] = ("ok", "failed", "cancelled", "error")
    for number, outcome in enumerate(outcomes):
        ran = Execution(call=f"c{number}", tool="bash", digest="ab" * 32, seconds=0.5, outcome=outcome)
        await store.audit("ada", "run", session, ran)
    await store.delete("ada", "run")
    rows = look(settings, "SELECT tenant, run, session, tool, seconds, outcome FROM audit ORDER BY id")
    assert rows == [("ada", "run", session, "bash", 0.5, end) for end in outcomes]
