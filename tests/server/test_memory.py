"""Intents are found again by call id: recent ones here, older ones in the store, each tenant's own alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from programs import Message, Transcript
from programs.transcript import ToolCall, ToolIntent
from server.memory import Memory
from store import Finished, StateSettings, Store
from tests.store.samples import a_run, finished


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(StateSettings(sqlite_path=tmp_path / "rants.sqlite3")) as store:
        yield store


@pytest.fixture
def memory(store: Store) -> Memory:
    return Memory(store)


def made(*ids: str, text: str = "I look.", intent: str = "look at a") -> Message:
    calls = tuple(ToolCall(id=name, name="look", arguments="{}") for name in ids)
    return Message(role="assistant", content=text, intents=(ToolIntent(text=intent),), tool_calls=calls)


def sent(*ids: str, text: str = "I look.") -> Message:
    """The same as a client sends it back: without intents, arguments written anew."""
    calls = tuple(ToolCall(id=name, name="look", arguments='{ "a": 1 }') for name in ids)
    return Message(role="assistant", content=text, tool_calls=calls)


def said(*messages: Message) -> Transcript:
    return Transcript(messages=messages)


HELLO = Message(role="user", content="Hello")
RESULT = Message(role="tool", content="found", tool_call_id="c1")


async def test_a_turn_is_told_as_it_was_when_its_calls_were_made(memory: Memory) -> None:
    memory.keep("ada", [made("c1", "c2")])
    assert await memory.retell("ada", said(HELLO, sent("c1", "c2"), RESULT)) == said(HELLO, made("c1", "c2"), RESULT)


async def test_of_another_tenant_nothing_is_told(memory: Memory, store: Store) -> None:
    memory.keep("ada", [made("c1")])
    await store.record(a_run("run"), ending(made("c2")))
    for call in ("c1", "c2"):
        assert await memory.retell("bob", said(HELLO, sent(call))) == said(HELLO, sent(call))
    assert await memory.retell("ada", said(HELLO, sent("c2"))) == said(HELLO, made("c2"))


def ending(*output: Message) -> Finished:
    end = finished("Hi")
    return Finished(end.done, end.seconds, output, end.steps, end.timeline)


async def test_what_the_same_run_did_before_is_told_once(memory: Memory) -> None:
    first = Message(role="assistant", content="First.")
    problem = Message(role="tool", content="No tool does this.")
    memory.keep("ada", [first, problem, made("c1")])
    for transcript in (said(HELLO, sent("c1"), RESULT), said(HELLO, first, sent("c1"), RESULT)):
        assert await memory.retell("ada", transcript) == said(HELLO, first, problem, made("c1"), RESULT)


async def test_calls_that_a_client_has_parted_are_told_once(memory: Memory) -> None:
    memory.keep("ada", [made("c1", "c2")])
    parted = said(HELLO, sent("c1"), RESULT, sent("c2", text=""))
    assert await memory.retell("ada", parted) == said(HELLO, made("c1", "c2"), RESULT)


async def test_what_nobody_knows_stays_as_it_was_sent(memory: Memory) -> None:
    memory.keep("ada", [made("c1")])
    transcript = said(HELLO, sent("c9"), Message(role="tool", content="lost"), HELLO)
    assert await memory.retell("ada", transcript) == transcript
    assert await memory.retell("ada", said(HELLO)) == said(HELLO)


async def test_the_oldest_are_forgotten_here_and_found_in_the_store(store: Store) -> None:
    size = len(made("c1").said())
    memory = Memory(store, most_bytes=2 * size)
    await store.record(a_run("run"), ending(made("c1")))
    calls = ("c0", "c1", "c2", "c3")
    for call in calls:
        memory.keep("ada", [made(call)])
    told = await memory.retell("ada", said(*map(sent, calls)))
    assert told == said(sent("c0"), made("c1"), made("c2"), made("c3"))


async def test_one_that_is_larger_than_all_the_room_is_not_kept(store: Store) -> None:
    memory = Memory(store, most_bytes=10)
    memory.keep("ada", [made("c1", "c2")])
    memory.keep("ada", [made("c3")])
    assert await memory.retell("ada", said(sent("c1"))) == said(sent("c1"))
