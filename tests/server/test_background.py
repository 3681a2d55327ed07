"""Background responses, and joining a stream again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, eventually, response_events

PIECES = [f"piece {number}. " for number in range(8)]


@pytest.fixture
def hold(backend: ScriptedBackend) -> Iterator[threading.Event]:
    """The model says one piece, and the others only when this is set."""
    held = threading.Event()
    backend.script = in_turn(Reply(PIECES, hold=held))
    yield held
    held.set()
    eventually(lambda: backend.open == 0)


def finished(client: OpenAI, response_id: str) -> Any:
    """The response once it is over."""
    eventually(lambda: client.responses.retrieve(response_id).status not in ("queued", "in_progress"))
    return client.responses.retrieve(response_id)


def joined(http: httpx2.Client, response_id: str, after: int | None = None) -> list[dict[str, Any]]:
    """The events of a response, from number `after` + 1 on."""
    params: dict[str, Any] = {"stream": "true", **({} if after is None else {"starting_after": after})}
    with http.stream("GET", f"/v1/responses/{response_id}", params=params) as answer:
        assert answer.status_code == 200, answer.read()
        return response_events(answer)


def test_a_background_response_is_queued_runs_and_is_polled_to_its_end(
    client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    queued = client.responses.create(model=MODEL, input="Hello?", background=True)
    assert (queued.status, queued.background, queued.output, queued.usage) == ("queued", True, [], None)
    eventually(lambda: client.responses.retrieve(queued.id).output_text == PIECES[0])
    running = client.responses.retrieve(queued.id)
    assert (running.status, running.completed_at) == ("in_progress", None)
    hold.set()
    done = finished(client, queued.id)
    assert (done.status, done.output_text, done.created_at) == ("completed", "".join(PIECES), queued.created_at)
    assert done.usage is not None
    assert done.completed_at is not None


def test_a_background_response_survives_the_client_that_streams_it(
    client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    with client.responses.create(model=MODEL, input="Hello?", background=True, stream=True) as stream:
        for event in stream:
            if event.type == "response.created":
                response_id = event.response.id
            if event.type == "response.output_text.delta":
                break
    hold.set()
    assert finished(client, response_id).output_text == "".join(PIECES)
    assert not backend.calls[0].hung_up


def test_its_stream_says_that_it_was_queued(http: httpx2.Client, backend: ScriptedBackend) -> None:
    asked = {"model": MODEL, "input": "Hello?", "background": True, "stream": True}
    with http.stream("POST", "/v1/responses", json=asked) as answer:
        events = response_events(answer)
    assert [event["type"] for event in events[:3]] == ["response.created", "response.queued", "response.in_progress"]
    assert [event["response"]["status"] for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert events[-1]["type"] == "response.completed"


def test_a_background_response_is_cancelled_and_so_is_its_call(
    client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    eventually(lambda: client.responses.retrieve(response.id).output_text)
    cancelled = client.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    eventually(lambda: backend.calls[0].hung_up)
    assert client.responses.retrieve(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"


def test_what_is_over_is_not_cancelled_any_more(client: OpenAI, backend: ScriptedBackend) -> None:
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    assert finished(client, response.id).status == "completed"
    assert client.responses.cancel(response.id).status == "completed"


def test_only_a_background_response_can_be_cancelled(client: OpenAI, backend: ScriptedBackend) -> None:
    response = client.responses.create(model=MODEL, input="Hello?")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(response.id)


def test_a_background_response_that_fails_says_why(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(status=401, error={"message": "wrong key"}))
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    done = finished(client, response.id)
    assert done.status == "failed"
    assert done.error.code == "server_error"
    assert "wrong key" in done.error.message


def test_a_background_response_that_breaks_keeps_what_was_said(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(PIECES, fault="cut"))
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    done = finished(client, response.id)
    assert (done.status, done.output_text, done.completed_at) == ("failed", "".join(PIECES), None)
    assert len(backend.calls) == 1


def test_a_running_response_is_deleted_with_its_call(
    client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    eventually(lambda: backend.calls)
    client.responses.delete(response.id)
    eventually(lambda: backend.calls[0].hung_up)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_response_that_is_still_written_cannot_be_continued(
    client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    with pytest.raises(openai.BadRequestError) as failed:
        client.responses.create(model=MODEL, input="On.", previous_response_id=response.id)
    assert failed.value.param == "previous_response_id"


def test_a_stream_is_joined_again_while_it_runs(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend, hold: threading.Event
) -> None:
    seen: list[Any] = []
    with client.responses.create(model=MODEL, input="Hello?", background=True, stream=True) as stream:
        for event in stream:
            seen.append(event.to_dict())
            if event.type == "response.output_text.delta":
                break
    response_id = seen[0]["response"]["id"]
    assert seen[-1]["delta"] == PIECES[0]
    threading.Timer(0.2, hold.set).start()
    rest = joined(http, response_id, after=seen[-1]["sequence_number"])
    assert rest[0]["sequence_number"] == len(seen)
    assert [event["delta"] for event in rest if "delta" in event] == PIECES[1:]
    assert seen + rest == joined(http, response_id)


def test_a_stream_is_joined_again_at_any_number_after_its_end(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(PIECES))
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    final = finished(client, response.id)
    everything = joined(http, response.id)
    assert [event["delta"] for event in everything if "delta" in event] == PIECES
    assert everything[-1]["response"] == http.get(f"/v1/responses/{response.id}").json()
    assert everything[-1]["response"]["output"][0]["id"] == final.output[0].id
    for after in range(len(everything) - 1):
        assert joined(http, response.id, after=after) == everything[after + 1 :]


def test_what_was_not_streamed_is_replayed_as_it_was_written(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["ä", "🍎", "\n"], finish_reason="length"))
    final = http.post("/v1/responses", json={"input": "Hello?"}).json()
    events = joined(http, final["id"])
    assert [event["delta"] for event in events if "delta" in event] == ["ä", "🍎", "\n"]
    assert (events[-1]["type"], events[-1]["response"]) == ("response.incomplete", final)


def test_the_sdk_joins_a_stream_where_it_left_it(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(PIECES))
    response = client.responses.create(model=MODEL, input="Hello?", background=True)
    finished(client, response.id)
    with client.responses.retrieve(response.id, stream=True, starting_after=5) as stream:
        numbers = [event.sequence_number for event in stream]
    assert numbers == list(range(6, 6 + len(numbers)))


def test_nothing_is_left_to_join_after_the_last_number(http: httpx2.Client, backend: ScriptedBackend) -> None:
    final = http.post("/v1/responses", json={"input": "Hello?"}).json()
    last = joined(http, final["id"])[-1]["sequence_number"]
    answer = http.get(f"/v1/responses/{final['id']}", params={"stream": "true", "starting_after": last})
    assert (answer.status_code, answer.content) == (200, b"")
