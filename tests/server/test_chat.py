"""`/v1/chat/completions`, asked by the SDK, over a scripted model."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from evals.scripted import Call, Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, sse

HELLO: list[Any] = [{"role": "user", "content": "Hello?"}]
SYSTEM = "You are a helpful assistant."


def chunks(http: httpx2.Client, **body: Any) -> list[Any]:
    """The data of each event of a streamed answer."""
    asked = {"model": MODEL, "messages": HELLO, "stream": True, **body}
    with http.stream("POST", "/v1/chat/completions", json=asked) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [data for _, data in sse(answer.iter_lines())]


def asked(backend: ScriptedBackend) -> dict[str, Any]:
    """The body of the one call that reached the backend."""
    (call,) = backend.calls
    return call.body


def messages_as_sent(call: Call) -> bytes:
    """The bytes of the messages as they went over the wire, without the bracket that closes them."""
    start = call.raw.index(b'"messages"')
    return call.raw[start : call.raw.rindex(b'], "stream"')]


def test_an_answer_is_a_chat_completion(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Good ", "day."], usage=usage(21, 4, cached=16)))
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == MODEL
    assert answer.created > 1_700_000_000
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert (choice.message.role, choice.message.content, choice.message.refusal) == ("assistant", "Good day.", None)
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (21, 4, 25)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 16


def test_a_stream_is_the_role_the_pieces_the_reason_and_done(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Good ", "day."], usage=usage(21, 4)))
    *said, last = chunks(http)
    assert last == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in said] == [
        {"role": "assistant", "content": ""},
        {"content": "Good "},
        {"content": "day."},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in said] == [None, None, None, "stop"]
    assert {chunk["object"] for chunk in said} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in said} == {MODEL}
    assert len({(chunk["id"], chunk["created"]) for chunk in said}) == 1
    assert not any("usage" in chunk for chunk in said)


def test_usage_is_a_last_chunk_without_choices_if_asked_for(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Good ", "day."], usage=usage(21, 4)))
    *said, counted, last = chunks(http, stream_options={"include_usage": True})
    assert last == "[DONE]"
    assert counted["choices"] == []
    assert counted["usage"]["total_tokens"] == 25
    assert [chunk["usage"] for chunk in said] == [None] * 4


def test_no_usage_chunk_where_it_is_declined(http: httpx2.Client, backend: ScriptedBackend) -> None:
    *said, last = chunks(http, stream_options={"include_usage": False})
    assert last == "[DONE]"
    assert all(chunk["choices"] for chunk in said)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_the_reason_of_a_cut_reply_reaches_the_client(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend, reason: str
) -> None:
    backend.script = in_turn(Reply(["Good"], finish_reason=reason))
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Good", reason)
    assert chunks(http)[-2]["choices"][0]["finish_reason"] == reason


def test_an_empty_reply_is_an_empty_message(http: httpx2.Client, client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply())
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("", "stop")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks(http)[:-1]]
    assert deltas == [{"role": "assistant", "content": ""}, {}]


async def test_the_async_client_gets_the_same(async_client: AsyncOpenAI, backend: ScriptedBackend) -> None:
    whole = await async_client.chat.completions.create(model=MODEL, messages=HELLO)
    stream = await async_client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(pieces) == whole.choices[0].message.content == "Hello there."


async def test_many_clients_at_once_each_get_their_own_answer(
    async_client: AsyncOpenAI, backend: ScriptedBackend
) -> None:
    backend.script = lambda body: Reply(list(f"You said {body['messages'][-1]['content']}."), delay=0.005)

    async def ask(number: int) -> str:
        messages: list[Any] = [{"role": "user", "content": f"number {number}"}]
        if number % 2:
            stream = await async_client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        whole = await async_client.chat.completions.create(model=MODEL, messages=messages)
        return whole.choices[0].message.content or ""

    said = await asyncio.gather(*map(ask, range(50)))
    assert said == [f"You said number {number}." for number in range(50)]


def test_every_answer_has_a_request_id(client: OpenAI, backend: ScriptedBackend) -> None:
    given = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert given.headers["x-request-id"].startswith("req_")
    kept = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, extra_headers={"x-request-id": "mine-1"}
    )
    assert kept.headers["x-request-id"] == "mine-1"
    assert given.parse()._request_id == given.headers["x-request-id"]


def test_a_request_id_that_could_forge_a_header_is_replaced(http: httpx2.Client) -> None:
    answer = http.get("/v1/models", headers={"x-request-id": "a b\tc" * 50})
    assert answer.headers["x-request-id"].startswith("req_")


def test_roles_reach_the_backend_natively_and_calls_as_intents(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "What is in "}, {"type": "text", "text": "a.txt?"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a.txt"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "äpfel"},
            {"role": "assistant", "content": "Apples."},
            {"role": "developer", "content": "Now in French."},
            {"role": "user", "content": "Again?"},
        ],
    )
    assert asked(backend)["messages"] == [
        {"role": "system", "content": f"{SYSTEM}\n\nBe brief.\n\nBe kind."},
        {"role": "user", "content": "What is in a.txt?"},
        {"role": "assistant", "content": 'TOOL_INTENT: call read with {"path": "a.txt"}'},
        {"role": "user", "content": "TOOL_RESULT read:\näpfel"},
        {"role": "assistant", "content": "Apples."},
        {"role": "system", "content": "Now in French."},
        {"role": "user", "content": "Again?"},
    ]


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}]], ids=repr)
@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
def test_content_may_be_empty_in_every_role(
    http: httpx2.Client, backend: ScriptedBackend, role: str, content: Any
) -> None:
    message = {"role": role, "content": content}
    if role == "tool":
        message["tool_call_id"] = "call_1"
    answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": [message, *HELLO]})
    assert answer.status_code == 200, answer.text
    result = "TOOL_RESULT:\n\n\n" if role == "tool" else ""
    assert asked(backend)["messages"][-1] == {"role": "user", "content": f"{result}{HELLO[0]['content']}"}


def test_a_conversation_may_be_its_system_message_alone(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(model=MODEL, messages=[{"role": "system", "content": "Say something."}])
    assert asked(backend)["messages"][0] == {"role": "system", "content": f"{SYSTEM}\n\nSay something."}


def test_what_was_sent_in_a_turn_is_the_beginning_of_the_next(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Ein ", "Apfel: 🍎"]), Reply(["Ja."]), Reply(["Nein."]))
    conversation: list[Any] = [
        {"role": "system", "content": "Sprich Deutsch."},
        {"role": "user", "content": "Was ißt du?"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1, "ü":"é"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '"2"\n'},
    ]
    for question in ("Und du?", "Wirklich?", "Ach so."):
        conversation.append({"role": "user", "content": question})
        answer = client.chat.completions.create(model=MODEL, messages=conversation)
        conversation.append({"role": "assistant", "content": answer.choices[0].message.content})
    first, second, third = map(messages_as_sent, backend.calls)
    assert second.startswith(first)
    assert third.startswith(second)
    assert "🍎".encode() in second


def test_sampling_reaches_the_backend_under_its_own_names(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_completion_tokens=17,
        temperature=0.25,
        top_p=0.5,
        stop=["END", "###"],
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
    )
    sent = asked(backend)
    assert {
        name: sent[name]
        for name in ("max_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty")
    } == {
        "max_tokens": 17,
        "temperature": 0.25,
        "top_p": 0.5,
        "stop": ["END", "###"],
        "seed": 7,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
    }


def test_zero_is_a_value(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(model=MODEL, messages=HELLO, temperature=0, top_p=0, seed=0)
    assert [asked(backend)[name] for name in ("temperature", "top_p", "seed")] == [0, 0, 0]


def test_one_stop_may_be_given_as_text(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(model=MODEL, messages=HELLO, stop="END", max_tokens=9)
    assert (asked(backend)["stop"], asked(backend)["max_tokens"]) == (["END"], 9)


def test_what_nobody_asked_for_is_left_to_the_backend(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(model=MODEL, messages=HELLO)
    assert set(asked(backend)) == {"model", "messages", "stream", "stream_options"}
    assert asked(backend)["model"] == "scripted"


def test_the_backend_gets_its_own_key_and_not_the_client_s(client: OpenAI, backend: ScriptedBackend) -> None:
    client.chat.completions.create(model=MODEL, messages=HELLO)
    assert backend.calls[0].headers["authorization"] == "Bearer key-of-the-backend"


def test_response_format_reaches_the_backend_in_chat_form(client: OpenAI, backend: ScriptedBackend) -> None:
    schema: Any = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
    client.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "json_object"})
    client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}},
    )
    client.chat.completions.create(model=MODEL, messages=HELLO, response_format={"type": "text"})
    first, second, third = (call.body.get("response_format") for call in backend.calls)
    assert first == {"type": "json_object"}
    assert second == {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    assert third is None


def test_what_is_not_known_is_accepted(http: httpx2.Client, backend: ScriptedBackend) -> None:
    body = {
        "model": MODEL,
        "messages": [{**HELLO[0], "name": "ann", "mood": "good"}],
        "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "teleport", "to": [1]}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning_effort": "high",
        "metadata": {"a": "b"},
        "user": "me",
        "brand_new": {"x": [1, 2]},
        "n": 1,
    }
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Hello there."


def test_what_is_not_told_by_the_backend_is_counted_from_the_text(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["x" * 400]))
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "y" * 800}])
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (200, 100)


def test_text_of_any_kind_comes_through_whole(client: OpenAI, backend: ScriptedBackend) -> None:
    text = 'Zero\u0000 "quoted" \\ \u2028 🏳️‍🌈 \r\n\ttab data: [DONE]\n\n' + json.dumps({"a": "</s>"})
    backend.script = in_turn(Reply(list(text)))
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
    assert answer.choices[0].message.content == text
    assert asked(backend)["messages"][-1]["content"] == text
    with client.chat.completions.create(model=MODEL, messages=HELLO, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == text
