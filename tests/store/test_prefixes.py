from __future__ import annotations

from collections.abc import Iterator

import peewee as pw
import pytest

from programs.transcript import Message, ToolCall, Transcript
from store import StateSettings, Store, prefixes
from store.database import Database, connector, migrate
from tests.store.samples import a_run, assistant, count, finished, on_sqlite, said, then, user


@pytest.fixture
def db(settings: StateSettings) -> Iterator[Database]:
    migrate(settings)
    database = connector(settings)
    yield database
    database.close()


def many(length: int) -> Transcript:
    return Transcript(messages=tuple(user(f"message {index}") for index in range(length)))


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 33])
def test_known_counts_what_is_there_whatever_its_length(db: Database, length: int) -> None:
    transcript = many(length)
    assert prefixes.known(db, "ada", transcript.prefixes) == 0
    head = None
    for index, message in enumerate(transcript.messages):
        head = prefixes.grow(db, "ada", head, index, [message])
        assert prefixes.known(db, "ada", transcript.prefixes) == index + 1
        assert prefixes.known(db, "ada", many(100).prefixes) == index + 1


def test_known_asks_little_of_a_long_transcript(db: Database) -> None:
    transcript = many(2000)
    for there in (0, 1, 700, 1998, 2000):
        with db.atomic():
            head = prefixes.grow(db, "ada", None, 0, transcript.messages[:there])
        assert head == (transcript.prefixes[there - 1] if there else None)
        asked: list[pw.QueryEvent] = []
        db.query_hooks.append(asked.append)
        assert prefixes.known(db, "ada", transcript.prefixes) == there
        db.query_hooks.clear()
        assert len(asked) <= 11  # log2 of 2000
        assert sum(len(event.params) for event in asked) <= 11 * 12


def test_growing_gives_the_digest_of_the_whole_and_reading_gives_it_back(db: Database) -> None:
    call = ToolCall(id="call_1", name="read", arguments='{ "path": "a\\u0000b" }')
    transcript = Transcript(
        messages=(
            Message(role="developer", content="Talk \u2028 like\x00this: é 🐜"),
            user(""),
            Message(role="assistant", tool_calls=(call, call)),
            Message(role="tool", content="42", tool_call_id="call_1"),
        )
    )
    head = prefixes.grow(db, "ada", None, 0, transcript.messages[:2])
    head = prefixes.grow(db, "ada", head, 2, transcript.messages[2:])
    assert head == transcript.prefixes[-1]
    assert prefixes.read(db, "ada", head) == transcript
    assert prefixes.read(db, "ada", None) == Transcript()
    assert prefixes.read(db, "bob", head) == Transcript()


@on_sqlite
async def test_a_session_sent_whole_at_every_turn_grows_with_what_is_new(settings: StateSettings) -> None:
    path = settings.sqlite_path
    transcript, sizes = said("You are a careful assistant. " * 100), [0]
    for hundred in (0, 100):
        async with await Store.open(settings) as store:
            for turn in range(hundred, hundred + 100):
                answer = f"Answer {turn}. " + "word " * 50
                transcript = then(transcript, user(f"Question {turn}? " + "word " * 50))
                await store.record(a_run(f"run_{turn}", transcript, session_key="opencode"), finished(answer))
                transcript = then(transcript, assistant(answer))
            assert await store.transcript("ada", f"run_{turn}", output=True) == transcript
        sizes.append(path.stat().st_size)  # closed, so that the log is part of the file
    assert count(path) == {"message": 401, "prefix": 401, "session": 1, "run": 200, "usage": 200}
    assert sizes[2] - sizes[1] < 1.2 * (sizes[1] - sizes[0])


async def test_the_same_words_are_kept_once(store: Store, settings: StateSettings) -> None:
    await store.begin(a_run("one", said("Be brief.", "yes", "no", "yes")))
    await store.begin(a_run("two", said("Be long.", "yes", "no")))
    assert count(settings) | {"message": 4, "prefix": 7} == count(settings)


async def test_an_empty_transcript_can_be_kept(store: Store) -> None:
    await store.record(a_run("run", Transcript()), finished("Hello"))
    assert await store.transcript("ada", "run", output=False) == Transcript()
    assert await store.transcript("ada", "run", output=True) == Transcript(messages=(assistant("Hello"),))
    assert await store.delete("ada", "run")
