"""A long transcript, looked at in windows and looked through."""

from __future__ import annotations

import random

import pytest

from programs.transcript import Message, ToolCall, ToolIntent, Transcript
from store import Found, Part, StateSettings, Store
from tests.store.samples import a_run, finished, said, user

CALL = ToolCall(id="c", name="read", arguments='{"path": "needle"}')
INTENT = ToolIntent(text="needle", blocks={"A": '","', "tool_call_id": 'x"}'})
HARD = 'é\\"\n\\\\n\x01\u2028😀\\u0041 \\ud83d ","tool_calls":[ "}]} \x7f\0 needle\\'


async def keep(store: Store, *messages: Message) -> None:
    await store.record(a_run("one", Transcript(messages=messages)), finished("Hi."))


async def whole(store: Store, index: int, size: int) -> str:
    """The content of a message, joined from its windows."""
    at, text = 0, ""
    while True:
        seen = await store.window("ada", "one", index, at, size)
        assert seen is not None
        assert seen.end - seen.at <= max(size, 16) or seen.end == seen.size
        text += seen.text
        if seen.end == seen.size:
            return text
        assert seen.end > seen.at
        at = seen.end


async def test_the_messages_that_a_run_was_given_are_told_with_their_sizes(store: Store) -> None:
    messages = (Message(role="system", content="é" * 90_000), user(""), Message(role="tool", tool_call_id="c"))
    await keep(store, *messages)
    sizes = [len(message.said().encode()) for message in messages]
    assert await store.parts("ada", "one") == [
        Part(0, "system", sizes[0]),
        Part(1, "user", sizes[1]),
        Part(2, "tool", sizes[2]),
    ]
    assert sizes[0] > 180_000
    assert await store.parts("bob", "one") == []


@pytest.mark.parametrize("size", [1, 17, 100_000])
async def test_windows_join_to_the_content_and_nothing_else(store: Store, size: int) -> None:
    messages = (
        user(HARD * 3),
        user("\\" * 99),
        user('"'),
        user(""),
        Message(role="assistant", content=HARD, intents=(INTENT,), tool_calls=(CALL,)),
        Message(role="assistant", tool_calls=(CALL,)),
        Message(role="tool", content=HARD, tool_call_id='a"\\'),
        Message(role="user", content=HARD, images=("data:" + "x" * 70_000,)),
        Message(role="tool", content=HARD, tool_calls=(CALL,), tool_call_id="b"),
    )
    await keep(store, *messages)
    for index, message in enumerate(messages):
        assert await whole(store, index, size) == message.content, index
    assert await store.window("ada", "one", len(messages), 0) is None
    assert await store.window("bob", "one", 0, 0) is None


async def test_a_window_may_begin_anywhere_and_never_in_a_character(store: Store) -> None:
    content = HARD + "\\" * 150 + HARD
    await keep(store, user(content))
    for at in range(len(user(content).said().encode()) + 5):
        seen = await store.window("ada", "one", 0, at)
        assert seen is not None
        assert content.endswith(seen.text), at
        assert seen.text or at >= seen.size - 2
        assert seen.at <= max(at, 26) or not seen.text


async def test_a_text_is_found_where_it_is_said(store: Store) -> None:
    await keep(
        store,
        *said("Be brief.", "The needle, the Needle and the needle.").messages,
        Message(role="assistant", tool_calls=(CALL,)),
        Message(role="assistant", content="No.", intents=(INTENT,), tool_calls=(CALL,)),
        user(HARD),
        user("\needle \needle" + "\n" * 2_000_000 + "needle"),
    )
    found = await store.locate("ada", "one", "needle")
    places = []
    while found is not None:
        seen = await store.window("ada", "one", found.index, found.at)
        assert seen is not None
        assert seen.at == found.at
        assert seen.text.startswith("needle")
        places.append(found.index)
        found = await store.locate("ada", "one", "needle", found)
    assert places == [1, 1, 4, 5]
    assert await store.locate("ada", "one", "Needle and") == Found(1, 42)
    assert await store.locate("ada", "one", HARD) is not None
    for text in ("", "nowhere", "NEEDLE", "role", "\ud83d"):
        assert await store.locate("ada", "one", text) is None, text
    assert await store.locate("bob", "one", "needle") is None


async def test_a_text_is_found_across_the_pieces_that_are_looked_through(store: Store) -> None:
    filler = random.Random(1).choices("abcé\n\\", k=3_000_000)
    for at in (1 << 20, 1 << 21):
        filler[at - 500_000 : at - 499_990] = "needle \n \\"
    await keep(store, user("".join(filler)))
    found = Found(0, 0)
    for _ in range(2):
        again = await store.locate("ada", "one", "needle \n \\", found)
        assert again is not None
        found = again
    assert await store.locate("ada", "one", "needle \n \\", found) is None


async def test_whoever_only_looks_reads_windows(store: Store, settings: StateSettings) -> None:
    await keep(store, user("Hello"))
    async with await Store.look(settings) as looking:
        seen = await looking.window("ada", "one", 0, 0)
        assert seen is not None
        assert seen.text == "Hello"
