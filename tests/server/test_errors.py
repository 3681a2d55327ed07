"""What is refused: with which status, in OpenAI's shape, and naming the field."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL

USER = {"role": "user", "content": "Hello?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

CHAT: list[tuple[dict[str, Any], str]] = [
    ({"model": None}, "model"),
    ({"model": 1}, "model"),
    ({"messages": None}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": "Hello?"}, "messages"),
    ({"messages": ["Hello?"]}, "messages[0]"),
    ({"messages": [{"content": "Hello?"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "robot", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["Hello?"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0]"),
    (
        {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}]},
        "messages[1].content[1]",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}]}, "messages[0].tool_calls[0].id"),
    ({"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}]}, "messages[0].tool_calls[0].id"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "", "arguments": "{}"}}]}]},
        "messages[0].tool_calls[0].function.name",
    ),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": 5}]}, "messages[0].tool_call_id"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": True}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": "5"}, "max_completion_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": "warm"}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"stop": 5}, "stop"),
    ({"stop": ""}, "stop"),
    ({"stop": ["a", 5]}, "stop[1]"),
    ({"n": 2}, "n"),
    ({"seed": 1.5}, "seed"),
    ({"frequency_penalty": 9}, "frequency_penalty"),
    ({"presence_penalty": "x"}, "presence_penalty"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.json_schema.name"),
    ({"tools": {}}, "tools"),
    ({"tools": [5]}, "tools[0]"),
    ({"tool_choice": 5}, "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"metadata": "x"}, "metadata"),
    ({"store": "x"}, "store"),
]

RESPONSES: list[tuple[dict[str, Any], str]] = [
    ({"model": 1}, "model"),
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": ""}, "input"),
    ({"input": 5}, "input"),
    ({"input": ["Hello?"]}, "input[0]"),
    ({"input": [{}]}, "input[0]"),
    ({"input": [{"content": "Hello?"}]}, "input[0]"),
    ({"input": [USER, {"role": "robot", "content": "x"}]}, "input[1].role"),
    ({"input": [{"type": "message", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": ["Hello?"]}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input[0].content[0]"),
    ({"input": [USER, {"type": "function_call_output", "call_id": "c1", "output": 5}]}, "input[1].output"),
    ({"input": [USER, {"type": "function_call_output", "call_id": "c1", "output": ["x"]}]}, "input[1].output"),
    (
        {"input": [{"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_audio"}]}]},
        "input[0].output[0]",
    ),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call", "call_id": "c1", "name": "", "arguments": "{}"}]}, "input[0].name"),
    ({"input": [{"type": "function_call", "call_id": "c1", "arguments": "{}"}]}, "input[0].name"),
    ({"input": [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
    ({"instructions": 5}, "instructions"),
    ({"stream": "yes"}, "stream"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"temperature": "warm"}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"previous_response_id": 5}, "previous_response_id"),
    ({"store": 1}, "store"),
    ({"background": True, "store": False}, "store"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"text": "json"}, "text"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ({"include": "x"}, "include"),
    ({"tools": [5]}, "tools[0]"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
    ({"truncation": "never"}, "truncation"),
    ({"parallel_tool_calls": "x"}, "parallel_tool_calls"),
    ({"reasoning": "high"}, "reasoning"),
    ({"user": 5}, "user"),
]


def body_of(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the change; None leaves a key out."""
    return {key: value for key, value in {**base, **change}.items() if value is not None}


def assert_shape(answer: httpx2.Response, status: int, *, param: str | None, code: str | None = None) -> None:
    """The answer is OpenAI's error object and nothing else."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"]
    assert (error["param"], error["code"]) == (param, code or error["code"])


@pytest.mark.parametrize(("change", "param"), CHAT, ids=[json.dumps(change) for change, _ in CHAT])
def test_a_wrong_field_of_chat_is_named(
    http: httpx2.Client, backend: ScriptedBackend, change: dict[str, Any], param: str
) -> None:
    answer = http.post("/v1/chat/completions", json=body_of({"model": MODEL, "messages": [USER]}, change))
    assert_shape(answer, 400, param=param)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert backend.calls == []


@pytest.mark.parametrize(("change", "param"), RESPONSES, ids=[json.dumps(change) for change, _ in RESPONSES])
def test_a_wrong_field_of_responses_is_named(
    http: httpx2.Client, backend: ScriptedBackend, change: dict[str, Any], param: str
) -> None:
    answer = http.post("/v1/responses", json=body_of({"model": MODEL, "input": "Hello?"}, change))
    assert_shape(answer, 400, param=param)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert backend.calls == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b'{"model": "\xff"}', b"{}{}"),
        '{"input": "Hello?"}'.encode("utf-16"),
        b'{"input": "\xed\xa0\x80"}',  # half of a surrogate pair, as bytes
        b'{"input": "Hello?", "metadata": NaN}',
        b'{"input": "Hello?", "reasoning": {"a": [-1e999]}}',
        b'{"input": "Hello?", "reasoning": {"a": [1%b.0]}}' % (b"0" * 400),
        b'{"input": "Hello?", "reasoning": %b1%b}' % (b'{"a":' * 300, b"}" * 300),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(http: httpx2.Client, path: str, content: bytes) -> None:
    answer = http.post(path, content=content, headers={"content-type": "application/json"})
    assert_shape(answer, 400, param=None)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
def test_a_body_that_does_not_say_that_it_is_json_is_refused(http: httpx2.Client, kind: str) -> None:
    # As JSON or not: a page of another origin can send these kinds without asking first.
    for content in (b'{"input": "Hello?"}', b"\\ud800"):
        answer = http.post("/v1/responses", content=content, headers={"content-type": kind})
        assert_shape(answer, 415, param=None)
        assert "application/json" in answer.json()["error"]["message"]


def test_json_may_have_a_byte_order_mark_a_charset_and_a_kind(http: httpx2.Client, backend: ScriptedBackend) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"):
        answer = http.post("/v1/responses", content=b'\xef\xbb\xbf{"input": "Hello?"}', headers={"content-type": kind})
        assert answer.status_code == 200, answer.text


def test_lone_surrogates_are_refused_and_break_nothing(http: httpx2.Client, backend: ScriptedBackend) -> None:
    for path, body in (
        ("/v1/chat/completions", '{"model": "rants-one", "messages": [{"role": "user", "content": "\\ud800"}]}'),
        ("/v1/responses", '{"input": "\\ud800"}'),
    ):
        answer = http.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
    assert backend.calls == []


def test_an_unknown_model_is_not_found(client: OpenAI, backend: ScriptedBackend) -> None:
    messages: list[Any] = [USER]
    with pytest.raises(openai.NotFoundError) as chat:
        client.chat.completions.create(model="gpt-9", messages=messages)
    with pytest.raises(openai.NotFoundError) as response:
        client.responses.create(model="gpt-9", input="Hello?")
    with pytest.raises(openai.NotFoundError) as listed:
        client.models.retrieve("gpt-9")
    for failed in (chat, response, listed):
        assert failed.value.status_code == 404
        assert failed.value.code == "model_not_found"
        assert failed.value.param == "model"
        assert "gpt-9" in failed.value.message
        assert failed.value.request_id
    assert backend.calls == []


def test_a_previous_response_that_is_not_there_is_not_found(client: OpenAI, backend: ScriptedBackend) -> None:
    with pytest.raises(openai.NotFoundError) as failed:
        client.responses.create(model=MODEL, input="On.", previous_response_id="resp_unknown")
    assert failed.value.code == "previous_response_not_found"
    assert failed.value.param == "previous_response_id"
    assert backend.calls == []


@pytest.mark.parametrize("name", ["resp_unknown", "unknown", "resp_" + "0" * 32, "chatcmpl-1", "resp_%00"])
def test_a_response_that_is_not_there_is_not_found(http: httpx2.Client, name: str) -> None:
    answers = [
        http.get(f"/v1/responses/{name}"),
        http.get(f"/v1/responses/{name}", params={"stream": True}),
        http.delete(f"/v1/responses/{name}"),
        http.post(f"/v1/responses/{name}/cancel"),
        http.get(f"/v1/responses/{name}/input_items"),
    ]
    for answer in answers:
        assert_shape(answer, 404, param="response_id", code="response_not_found")


def test_an_image_is_refused_and_says_why(client: OpenAI, backend: ScriptedBackend) -> None:
    image: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
    with pytest.raises(openai.BadRequestError) as failed:
        client.chat.completions.create(model=MODEL, messages=image)
    assert failed.value.code == "unsupported_content"
    assert failed.value.param == "messages[0].content[1]"
    assert "vision" in failed.value.message


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"order": "up"}, "order"),
    ],
)
def test_a_wrong_query_is_named(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend, query: dict[str, Any], param: str
) -> None:
    answer = client.responses.create(model=MODEL, input="Hello?")
    assert_shape(http.get(f"/v1/responses/{answer.id}/input_items", params=query), 400, param=param)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("PUT", "/v1/responses", 405),
        ("POST", "/v1/models", 405),
    ],
)
def test_an_unknown_path_or_method_has_the_same_shape(http: httpx2.Client, method: str, path: str, status: int) -> None:
    assert_shape(http.request(method, path), status, param=None)


def test_a_conversation_that_the_backend_finds_too_long_says_so(client: OpenAI, backend: ScriptedBackend) -> None:
    said = {"message": "maximum context length is 4096 tokens", "code": "context_length_exceeded", "type": "x"}
    backend.script = in_turn(Reply(status=400, error=said))
    messages: list[Any] = [USER]
    with pytest.raises(openai.BadRequestError) as chat:
        client.chat.completions.create(model=MODEL, messages=messages)
    with pytest.raises(openai.BadRequestError) as stream:
        client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    with pytest.raises(openai.BadRequestError) as response:
        client.responses.create(model=MODEL, input="Hello?")
    with pytest.raises(openai.BadRequestError) as events:
        client.responses.create(model=MODEL, input="Hello?", stream=True)
    for failed in (chat, stream, response, events):
        assert failed.value.code == "context_length_exceeded"
        assert "4096" in failed.value.message
    assert len(backend.calls) == 4
