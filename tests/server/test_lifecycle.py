"""Starting, stopping, crashing, and what is there afterwards."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, ServerProcess, eventually, response_events


@pytest.fixture
def mortal(tmp_path: Path, backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server for one test alone, which may end it and start it again on the same database."""
    process = ServerProcess(tmp_path, {"RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url})
    process.start()
    yield process
    process.stop(signal.SIGKILL)


def sdk(server: ServerProcess) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60)


def refuses(server: ServerProcess) -> bool:
    """Whether it takes no more connections."""
    try:
        httpx2.get(f"{server.address}/health/live")
    except httpx2.TransportError:
        return True
    return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["crash", "restart"])
def test_a_background_response_that_was_cut_off_is_finished_after_the_next_start(
    mortal: ServerProcess, backend: ScriptedBackend, end: signal.Signals
) -> None:
    with sdk(mortal) as client:
        before = client.responses.create(model=MODEL, input="Count.", metadata={"kept": "yes"})
        backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
        running = client.responses.create(
            model=MODEL,
            input="On.",
            instructions="Be quick.",
            previous_response_id=before.id,
            max_output_tokens=44,
            background=True,
        )
        eventually(lambda: client.responses.retrieve(running.id).output_text == "One, ")
    mortal.stop(end)
    assert mortal.rows("SELECT completed_at FROM run WHERE id = ?", running.id) == [(None,)]

    backend.script = in_turn(Reply(["One, ", "two, ", "three."]))
    mortal.start()
    with sdk(mortal) as client:
        assert client.responses.retrieve(before.id) == before
        eventually(lambda: client.responses.retrieve(running.id).status == "completed")
        after = client.responses.retrieve(running.id)
        assert after.output_text == "One, two, three."
        assert (after.id, after.created_at, after.instructions) == (running.id, running.created_at, "Be quick.")
        with client.responses.with_streaming_response.retrieve(running.id, stream=True) as again:
            events = response_events(again.http_response)
        assert [event["delta"] for event in events if "delta" in event] == ["One, ", "two, ", "three."]
    first, second = (call.body for call in backend.calls[1:])
    assert second == first, "it was asked the same thing again"
    assert (first["model"], first["max_tokens"]) == ("scripted", 44), "the model is the first one it lists"


def test_a_stop_is_clean_and_tells_the_clients_of_what_was_not_finished(
    mortal: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
    messages: list[Any] = [{"role": "user", "content": "Count."}]
    with (
        sdk(mortal) as client,
        ThreadPoolExecutor() as pool,
        client.responses.create(model=MODEL, input="Count.", stream=True) as events,
        client.chat.completions.create(model=MODEL, messages=messages, stream=True) as chunks,
    ):
        whole = pool.submit(client.chat.completions.create, model=MODEL, messages=messages)
        eventually(lambda: backend.open == 3)
        code = mortal.stop(signal.SIGTERM)
        *_, last = events
        assert last.type == "response.incomplete"
        assert (last.response.status, last.response.output_text) == ("cancelled", "One, ")
        with pytest.raises(openai.APIError, match="stopping"):
            list(chunks)
        failed = whole.exception()
        assert isinstance(failed, openai.InternalServerError)
        assert (failed.status_code, failed.code) == (503, "backend_unavailable")
    assert code in (0, -signal.SIGTERM)
    assert "Traceback" not in mortal.log
    assert all(call.hung_up for call in backend.calls)
    assert mortal.rows("SELECT status, text FROM run") == [("cancelled", "One, ")] * 3
    assert not list(mortal.folder.glob("var/*-wal")), "the database is one whole file again"


def test_what_is_nearly_done_when_the_server_stops_is_finished(mortal: ServerProcess, backend: ScriptedBackend) -> None:
    hold = threading.Event()
    backend.script = in_turn(Reply(["One, ", "two."], hold=hold))
    with sdk(mortal) as client, client.responses.create(model=MODEL, input="Count.", stream=True) as stream:
        next(event for event in stream if event.type == "response.output_text.delta")
        with ThreadPoolExecutor() as pool:
            stopped = pool.submit(mortal.stop, signal.SIGTERM)
            eventually(lambda: refuses(mortal))
            hold.set()
            *_, last = stream
            stopped.result()
    assert last.type == "response.completed"
    assert mortal.rows("SELECT status, text FROM run") == [("completed", "One, two.")]


def test_a_finished_response_survives_a_crash_right_after_it(mortal: ServerProcess, backend: ScriptedBackend) -> None:
    with sdk(mortal) as client, client.responses.create(model=MODEL, input="durable?", stream=True) as stream:
        for event in stream:
            if event.type == "response.completed":
                mortal.stop(signal.SIGKILL)
                done = event.response
                break
    mortal.start()
    with sdk(mortal) as client:
        assert client.responses.retrieve(done.id) == done
        client.responses.create(model=MODEL, input="On.", previous_response_id=done.id)
    assert [message["content"] for message in backend.calls[-1].body["messages"][1:]] == [
        "durable?",
        "Hello there.",
        "On.",
    ]


def test_what_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    for variables, words in (
        ({"RANTS_MODELS__GENERATOR__MODLE": "x"}, "RANTS_MODELS__GENERATOR__MODLE"),
        ({"RANTS_CONFIG": "missing.yaml"}, "missing.yaml"),
    ):
        process = ServerProcess(tmp_path, variables)
        with pytest.raises(AssertionError, match="did not start"):
            process.start()
        assert words in process.log
        assert "Traceback" not in process.log
