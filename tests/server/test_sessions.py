"""What is remembered of a conversation, and what is not: seen in the database itself."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, ServerProcess


def say(client: OpenAI, conversation: list[Any], text: str, **more: Any) -> Any:
    """Add a turn to the conversation over chat; gives the completion's id."""
    conversation.append({"role": "user", "content": text})
    answer = client.chat.completions.create(model=MODEL, messages=conversation, **more)
    conversation.append({"role": "assistant", "content": answer.choices[0].message.content})
    return answer.id


def session_of(server: ServerProcess, run_id: str) -> str:
    ((session,),) = server.rows("SELECT session FROM run WHERE id = ?", run_id)
    return str(session)


def bodies(server: ServerProcess, text: str) -> int:
    """How many messages hold the text."""
    ((count,),) = server.rows("SELECT count(*) FROM message WHERE instr(body, ?)", text)
    return int(count)


def test_a_chat_is_found_again_by_its_prefix(client: OpenAI, backend: ScriptedBackend, server: ServerProcess) -> None:
    conversation: list[Any] = []
    runs = [say(client, conversation, f"prefix, turn {turn}") for turn in range(3)]
    assert len({session_of(server, run) for run in runs}) == 1


def test_another_chat_is_another_session(client: OpenAI, backend: ScriptedBackend, server: ServerProcess) -> None:
    runs = [say(client, [], f"chat number {number}") for number in range(2)]
    assert len({session_of(server, run) for run in runs}) == 2


def test_a_chat_that_names_its_session_is_found_by_that_name(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    mine = [
        say(client, [], text, extra_headers={"x-session-id": "ses_mine"}) for text in ("one thing", "something else")
    ]
    other = say(client, [], "one thing", extra_headers={"x-session-id": "ses_other"})
    assert len({session_of(server, run) for run in mine}) == 1
    assert session_of(server, other) != session_of(server, mine[0])
    keys = server.rows("SELECT key FROM session WHERE id = ?", session_of(server, mine[0]))
    assert keys == [("ses_mine",)]


def test_a_response_continues_the_session_of_the_one_before(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    first = client.responses.create(model=MODEL, input="remember me")
    second = client.responses.create(model=MODEL, input="and now?", previous_response_id=first.id)
    assert session_of(server, first.id) == session_of(server, second.id)


def test_a_message_is_kept_once_however_often_it_is_sent(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    conversation: list[Any] = [{"role": "system", "content": "kept once"}]
    before = server.rows("SELECT count(*) FROM prefix")[0][0]
    for turn in range(5):
        say(client, conversation, f"kept once, turn {turn}")
    assert bodies(server, "kept once") == 6
    assert server.rows("SELECT count(*) FROM prefix")[0][0] == before + len(conversation)


def test_usage_of_every_run_is_kept(client: OpenAI, backend: ScriptedBackend, server: ServerProcess) -> None:
    backend.script = in_turn(Reply(["Hi"], usage=usage(31, 7, cached=5)))
    told = client.responses.create(model=MODEL, input="count me")
    backend.script = in_turn(Reply(["Hi"]))
    counted = client.responses.create(model=MODEL, input="count me, too")
    columns = "prompt, completion, cached, estimated, outcome"
    assert server.rows(f"SELECT {columns} FROM usage WHERE run = ?", told.id) == [(31, 7, 5, 0, "completed")]
    assert server.rows(f"SELECT {columns} FROM usage WHERE run = ?", counted.id) == [(4, 1, 0, 1, "completed")]
    columns = "role, calls, failed, prompt, completion, cached"
    assert server.rows(f"SELECT {columns} FROM spent WHERE run = ?", told.id) == [("generator", 1, 0, 31, 7, 5)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_is_not_to_be_stored_leaves_nothing_but_usage(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess, stream: bool
) -> None:
    asked, said = f"unstored question {stream}", f"unstored answer {stream}"
    backend.script = in_turn(Reply([said], usage=usage(31, 7)))
    if stream:
        with client.responses.create(model=MODEL, input=asked, store=False, stream=True) as events:
            *_, last = events
        assert last.type == "response.completed"
        answer = last.response
    else:
        answer = client.responses.create(model=MODEL, input=asked, store=False)
    assert answer.output_text == said
    for read in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            read(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="On.", previous_response_id=answer.id)
    assert server.rows("SELECT prompt, completion FROM usage WHERE run = ?", answer.id) == [(31, 7)]
    assert server.rows("SELECT prompt, completion FROM spent WHERE run = ?", answer.id) == [(31, 7)]
    assert server.rows("SELECT id FROM run WHERE id = ?", answer.id) == []
    assert asked.encode() not in server.database_bytes
    assert said.encode() not in server.database_bytes


def test_a_chat_that_is_not_to_be_stored_leaves_nothing_but_usage(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    backend.script = in_turn(Reply(["chat answer off the record"]))
    run = say(client, [], "chat question off the record", store=False)
    assert len(server.rows("SELECT run FROM usage WHERE run = ?", run)) == 1
    assert server.rows("SELECT id FROM run WHERE id = ?", run) == []
    assert b"off the record" not in server.database_bytes


def test_a_deleted_response_leaves_nothing_but_usage(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    backend.script = in_turn(Reply(["answer to be forgotten"]))
    answer = client.responses.create(model=MODEL, input="question to be forgotten")
    assert bodies(server, "to be forgotten") == 2
    client.responses.delete(answer.id)
    assert bodies(server, "to be forgotten") == 0
    assert len(server.rows("SELECT run FROM usage WHERE run = ?", answer.id)) == 1


def test_a_finished_response_is_in_the_database_before_its_last_event(
    client: OpenAI, backend: ScriptedBackend, server: ServerProcess
) -> None:
    with client.responses.create(model=MODEL, input="durable?", stream=True) as stream:
        for event in stream:
            if event.type == "response.completed":
                found = server.rows("SELECT status, text FROM run WHERE id = ?", event.response.id)
    assert found == [("completed", "Hello there.")]
