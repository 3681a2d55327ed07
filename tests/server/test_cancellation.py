"""A client that hangs up cancels the model's call. The model here never ends by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, ServerProcess, eventually

WITHIN = 5.0
"""Seconds. It takes milliseconds; a machine may be busy."""

BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]},
    "responses": {"model": MODEL, "input": "Hello?"},
}


@pytest.fixture
def endless(backend: ScriptedBackend) -> Iterator[ScriptedBackend]:
    """It says one piece and then nothing more."""
    held = threading.Event()
    backend.script = in_turn(Reply(["One.", "Two."], hold=held))
    yield backend
    held.set()


def hung_up(backend: ScriptedBackend) -> bool:
    """The one call was cancelled."""
    return [call.hung_up for call in backend.calls] == [True]


@pytest.mark.parametrize("path", BODIES)
def test_leaving_a_stream_cancels_the_call(http: httpx2.Client, endless: ScriptedBackend, path: str) -> None:
    with http.stream("POST", f"/v1/{path}", json={**BODIES[path], "stream": True}) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if "One." in line)
        assert endless.open == 1
    eventually(lambda: hung_up(endless), within=WITHIN)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", [Reply(["One."], fault="hang"), Reply(["One.", "Two."], hold=threading.Event())])
def test_not_waiting_for_an_answer_cancels_the_call(
    server: ServerProcess, backend: ScriptedBackend, path: str, stream: bool, reply: Reply
) -> None:
    if stream and reply.hold is not None:
        reply = Reply(reasoning=["I think."], pieces=["", "Two."], hold=reply.hold)  # nothing visible, so nothing sent
    backend.script = in_turn(reply)
    with httpx2.Client(base_url=server.address, timeout=httpx2.Timeout(60, read=0.5)) as impatient:
        with pytest.raises(httpx2.ReadTimeout):
            impatient.post(f"/v1/{path}", json={**BODIES[path], "stream": stream})
        assert len(backend.calls) == 1
    eventually(lambda: hung_up(backend), within=WITHIN)


def test_the_sdk_s_close_cancels_the_call(client: OpenAI, endless: ScriptedBackend) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hello?"}]
    stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    assert next(chunk for chunk in stream if chunk.choices[0].delta.content).choices[0].delta.content == "One."
    stream.close()
    eventually(lambda: hung_up(endless), within=WITHIN)


async def test_cancelling_an_async_call_cancels_it_at_the_model(
    async_client: AsyncOpenAI, endless: ScriptedBackend
) -> None:
    with pytest.raises(openai.APITimeoutError):
        await async_client.with_options(timeout=0.5).responses.create(model=MODEL, input="Hello?")
    eventually(lambda: hung_up(endless), within=WITHIN)


def test_leaving_while_the_backend_is_to_be_asked_again_ends_the_asking(
    server: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(status=429, headers={"Retry-After": "1"}))
    impatient = httpx2.Client(base_url=server.address, timeout=httpx2.Timeout(60, read=0.5))
    with impatient, pytest.raises(httpx2.ReadTimeout):
        impatient.post("/v1/responses", json=BODIES["responses"])
    time.sleep(1.5)  # longer than the wait that the backend asked for
    assert len(backend.calls) == 1


def test_a_cancelled_response_is_kept_as_cancelled(
    http: httpx2.Client, endless: ScriptedBackend, server: ServerProcess
) -> None:
    with http.stream("POST", "/v1/responses", json={**BODIES["responses"], "stream": True}) as answer:
        assert next(line for line in answer.iter_lines() if "One." in line)
    eventually(lambda: hung_up(endless), within=WITHIN)
    eventually(lambda: server.rows("SELECT status FROM run WHERE status = 'cancelled' AND text = 'One.'"))


def test_many_clients_that_leave_leave_nothing_behind(http: httpx2.Client, endless: ScriptedBackend) -> None:
    streams = []
    for _ in range(30):
        request = http.build_request("POST", "/v1/responses", json={**BODIES["responses"], "stream": True})
        streams.append(http.send(request, stream=True))
    assert endless.open == 30
    for stream in streams:
        stream.close()
    eventually(lambda: endless.open == 0, within=WITHIN)
    assert all(call.hung_up for call in endless.calls)
    endless.script = in_turn(Reply(["Hello."]))
    assert http.post("/v1/responses", json=BODIES["responses"]).json()["status"] == "completed"
