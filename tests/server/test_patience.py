"""Long silences: what a client hears meanwhile, and when the server gives up."""

from __future__ import annotations

import threading
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.conftest import key_of
from tests.support import MODEL, WAYS, Asking, ServerProcess, eventually, response_events, sse

HELLO: list[Any] = [{"role": "user", "content": "Hello?"}]
QUIET = Reply(["One. ", "Two."], first_delay=0.5, delay=0.5)
"""Silent three times for much longer than the guarded server lets pass without a sign of life."""


@pytest.fixture
def key() -> dict[str, str]:
    return {"x-api-key": key_of("emil")}


def test_a_chat_stream_carries_comments_in_a_long_silence(
    guarded_server: ServerProcess, backend: ScriptedBackend, key: dict[str, str]
) -> None:
    backend.script = in_turn(QUIET)
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    url = f"{guarded_server.base_url}/chat/completions"
    with httpx2.stream("POST", url, json=body, headers=key, timeout=60) as answer:
        events = list(sse(answer.iter_lines()))
    comments = [data for name, data in events if name == ":"]
    assert len(comments) >= 3
    assert set(comments) == {"keep-alive"}
    said = [data["choices"][0]["delta"] for name, data in events if name is None and data != "[DONE]"]
    assert said == [{"role": "assistant", "content": ""}, {"content": "One. "}, {"content": "Two."}, {}]


def test_a_responses_stream_says_in_progress_again_in_a_long_silence(
    guarded_server: ServerProcess, backend: ScriptedBackend, key: dict[str, str]
) -> None:
    backend.script = in_turn(QUIET)
    body = {"model": MODEL, "input": "Hello?", "stream": True}
    url = f"{guarded_server.base_url}/responses"
    with httpx2.stream("POST", url, json=body, headers=key, timeout=60) as answer:
        events = response_events(answer)
    kinds = [event["type"] for event in events]
    assert events[0]["sequence_number"] == 0
    assert kinds.count("response.in_progress") >= 4
    assert kinds.index("response.output_item.added") > 2, "it is heard before the first word"
    response_id = events[0]["response"]["id"]
    with httpx2.stream("GET", f"{url}/{response_id}?stream=true&starting_after=3", headers=key) as again:
        assert response_events(again) == events[4:]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_sdk_does_not_mind_the_signs_of_life(
    tenants: dict[str, OpenAI], backend: ScriptedBackend, way: Asking
) -> None:
    backend.script = in_turn(QUIET)
    assert way.ask(tenants["fritz"]).text == "One. Two."


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_backend_that_never_answers_is_given_up_and_not_asked_again(
    tenants: dict[str, OpenAI], backend: ScriptedBackend, way: Asking
) -> None:
    backend.script = in_turn(Reply(fault="hang"), Reply(["Hello."]))
    if way.stream:
        # Signs of life have gone out by now, and with them the status.
        assert way.ask(tenants["emil"]).ended == "failed"
    else:
        with pytest.raises(openai.APIStatusError) as failed:
            way.ask(tenants["emil"])
        assert (failed.value.status_code, failed.value.code) == (504, "backend_timeout")
    eventually(lambda: [call.hung_up for call in backend.calls] == [True])


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_run_that_takes_too_long_is_ended(tenants: dict[str, OpenAI], backend: ScriptedBackend, way: Asking) -> None:
    backend.script = in_turn(Reply(["Word. "] * 100, delay=0.5))
    if way.stream:
        answer = way.ask(tenants["gina"])
        assert answer.ended == "failed"
        assert answer.text.startswith("Word. Word. ")
    else:
        with pytest.raises(openai.APIStatusError) as failed:
            way.ask(tenants["gina"])
        assert (failed.value.status_code, failed.value.code) == (504, "backend_timeout")
        assert "4 seconds" in failed.value.message
    eventually(lambda: [call.hung_up for call in backend.calls] == [True])


def test_silence_within_a_reply_is_given_up_too(tenants: dict[str, OpenAI], backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["One. ", "Two."], hold=threading.Event()))
    response = tenants["emil"].responses.create(model=MODEL, input="Hello?", background=True, stream=True)
    with response as stream:
        *_, last = stream
    assert last.type == "response.failed"
    assert last.response.output_text == "One. "
    assert last.response.error is not None
    assert "2 seconds" in last.response.error.message
