"""`/v1/responses`, asked by the SDK, over a scripted model."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, response_events

REQUIRED = {
    "id", "object", "created_at", "completed_at", "status", "incomplete_details", "model", "previous_response_id",
    "instructions", "output", "error", "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "top_p",
    "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "reasoning", "usage", "max_output_tokens",
    "max_tool_calls", "store", "background", "service_tier", "metadata", "safety_identifier", "prompt_cache_key",
}  # fmt: skip


def events(http: httpx2.Client, **body: Any) -> list[dict[str, Any]]:
    """The events of a streamed answer, each checked."""
    with http.stream(
        "POST", "/v1/responses", json={"model": MODEL, "input": "Hello?", "stream": True, **body}
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return response_events(answer)


def texts(backend: ScriptedBackend, call: int = -1) -> list[tuple[str, str]]:
    """Roles and contents of the messages of a call."""
    return [(message["role"], message["content"]) for message in backend.calls[call].body["messages"]]


def test_an_answer_is_a_response(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Good ", "day."], usage=usage(21, 4, cached=16)))
    answer = client.responses.create(model=MODEL, input="Hello?", metadata={"a": "b"})
    assert answer.id.startswith("resp_")
    assert answer.status == "completed"
    assert answer.output_text == "Good day."
    (item,) = answer.output
    assert item.type == "message"
    assert (item.role, item.status) == ("assistant", "completed")
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (21, 4, 25)
    assert answer.usage.input_tokens_details.cached_tokens == 16
    assert answer.usage.output_tokens_details.reasoning_tokens == 0
    assert answer.metadata == {"a": "b"}
    assert answer.completed_at is not None
    assert answer.completed_at >= answer.created_at > 1_700_000_000


def test_every_key_is_there_also_where_there_is_nothing_to_say(client: OpenAI, backend: ScriptedBackend) -> None:
    said = client.responses.with_raw_response.create(model=MODEL, input="Hello?").http_response.json()
    assert REQUIRED - set(said) == set()
    assert said["object"] == "response"
    nothing = {key for key in REQUIRED if said[key] is None}
    assert nothing == {
        "incomplete_details", "previous_response_id", "instructions", "error", "reasoning", "max_output_tokens",
        "max_tool_calls", "safety_identifier", "prompt_cache_key",
    }  # fmt: skip
    assert {key: said[key] for key in ("tools", "tool_choice", "truncation", "parallel_tool_calls", "text")} == {
        "tools": [],
        "tool_choice": "auto",
        "truncation": "disabled",
        "parallel_tool_calls": True,
        "text": {"format": {"type": "text"}},
    }
    assert (said["store"], said["background"], said["service_tier"]) == (True, False, "default")
    assert (said["temperature"], said["top_p"], said["top_logprobs"]) == (1.0, 1.0, 0)
    assert (said["presence_penalty"], said["frequency_penalty"], said["metadata"]) == (0.0, 0.0, {})


def test_every_response_within_a_stream_has_every_key(http: httpx2.Client, backend: ScriptedBackend) -> None:
    carried = [event["response"] for event in events(http) if "response" in event]
    assert len(carried) == 3
    assert [REQUIRED - set(response) for response in carried] == [set()] * 3


def test_the_request_s_own_words_come_back(client: OpenAI, backend: ScriptedBackend) -> None:
    said = {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.25,
        "max_output_tokens": 50,
        "max_tool_calls": 3,
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}, {"type": "new"}],
        "truncation": "auto",
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low"},
        "safety_identifier": "s",
        "prompt_cache_key": "p",
        "service_tier": "flex",
        "user": "me",
        "store": False,
    }
    raw = client.responses.with_raw_response.create(model=MODEL, input="Hello?", extra_body=said)
    answer = raw.http_response.json()
    assert {key: answer[key] for key in said} == said


def test_a_stream_is_the_exact_sequence_of_events(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Good ", "day."], usage=usage(21, 4)))
    said = events(http)
    assert [event["type"] for event in said] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert said[0]["sequence_number"] == 0
    assert [event["delta"] for event in said if "delta" in event] == ["Good ", "day."]
    assert said[6]["text"] == said[7]["part"]["text"] == "Good day."
    assert [said[0]["response"]["status"], said[1]["response"]["status"]] == ["in_progress", "in_progress"]
    assert said[2]["item"]["content"] == []
    assert said[2]["item"]["status"] == "in_progress"
    assert said[3]["part"]["text"] == ""


def test_ids_are_the_same_in_every_event_and_in_what_is_read_back(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend
) -> None:
    said = events(http)
    final = said[-1]["response"]
    assert {event["response"]["id"] for event in said if "response" in event} == {final["id"]}
    (item,) = final["output"]
    assert {event["item_id"] for event in said if "item_id" in event} == {item["id"]}
    assert {event["item"]["id"] for event in said if "item" in event} == {item["id"]}
    assert {event["output_index"] for event in said if "output_index" in event} == {0}
    assert said[-2]["item"] == item
    assert http.get(f"/v1/responses/{final['id']}").json() == final


def test_the_sdk_s_own_stream_helper_folds_it(client: OpenAI, backend: ScriptedBackend) -> None:
    with client.responses.stream(model=MODEL, input="Hello?") as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_text == "Hello there."


async def test_the_async_client_gets_the_same(async_client: AsyncOpenAI, backend: ScriptedBackend) -> None:
    whole = await async_client.responses.create(model=MODEL, input="Hello?")
    stream = await async_client.responses.create(model=MODEL, input="Hello?", stream=True)
    pieces = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert "".join(pieces) == whole.output_text == "Hello there."


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_reply_that_was_cut_is_incomplete_and_says_why(
    http: httpx2.Client, client: OpenAI, backend: ScriptedBackend, finish: str, reason: str
) -> None:
    backend.script = in_turn(Reply(["Good"], finish_reason=finish))
    answer = client.responses.create(model=MODEL, input="Hello?")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == reason
    assert answer.completed_at is None
    *_, done, last = events(http)
    assert (done["type"], done["item"]["status"]) == ("response.output_item.done", "incomplete")
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert last["response"]["output"][0]["content"][0]["text"] == "Good"


def test_an_empty_reply_is_an_empty_message(http: httpx2.Client, client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply())
    answer = client.responses.create(model=MODEL, input="Hello?")
    assert (answer.status, answer.output_text, len(answer.output)) == ("completed", "", 1)
    assert [event["type"].removeprefix("response.") for event in events(http)] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.done", "content_part.done",
        "output_item.done", "completed",
    ]  # fmt: skip


def test_the_model_may_be_left_out(http: httpx2.Client, backend: ScriptedBackend) -> None:
    assert http.post("/v1/responses", json={"input": "Hello?"}).json()["model"] == MODEL


def test_items_of_every_kind_reach_the_backend(http: httpx2.Client, backend: ScriptedBackend) -> None:
    items: list[dict[str, Any]] = [
        {"type": "message", "role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "What is "}, {"type": "input_text", "text": "in a?"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret thoughts"},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look."}],
        },
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": '{"path": "a"}'},
        {"type": "function_call", "call_id": "c2", "name": "read", "arguments": '{"path": "b"}'},
        {"call_id": "c1", "output": "apples"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "pears"}]},
        {"type": "something_new", "payload": {}},
        {"role": "user", "content": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "Again?"},
    ]
    answer = http.post("/v1/responses", json={"model": MODEL, "input": items})
    assert answer.status_code == 200, answer.text
    said = backend.calls[0].body["messages"]
    assert [(message["role"], message["content"]) for message in said] == [
        ("system", "You are a helpful assistant.\n\nBe brief.\n\nBe kind."),
        ("user", "What is in a?"),
        (
            "assistant",
            'I look.\nTOOL_INTENT: call read with {"path": "a"}\nTOOL_INTENT: call read with {"path": "b"}',
        ),
        ("user", "TOOL_RESULT read:\napples\n\nTOOL_RESULT read:\npears\n\n"),
        ("assistant", "No."),
        ("user", "Again?"),
    ]


def test_a_call_without_words_before_it_is_an_assistant_s_turn(http: httpx2.Client, backend: ScriptedBackend) -> None:
    items = [
        {"role": "user", "content": "Look."},
        {"type": "custom_tool_call", "call_id": "c1", "name": "shell", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "a b"},
    ]
    answer = http.post("/v1/responses", json={"model": MODEL, "input": items})
    assert answer.status_code == 200, answer.text
    said = backend.calls[0].body["messages"]
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
    assert said[2]["content"] == "TOOL_INTENT: call shell with ls"


def test_text_formats_reach_the_backend_in_chat_form(client: OpenAI, backend: ScriptedBackend) -> None:
    schema: Any = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
    client.responses.create(model=MODEL, input="Hello?", text={"format": {"type": "json_object"}})
    answer = client.responses.create(
        model=MODEL,
        input="Hello?",
        text={"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}},
    )
    client.responses.create(model=MODEL, input="Hello?", text={"format": {"type": "text"}})
    first, second, third = (call.body.get("response_format") for call in backend.calls)
    assert first == {"type": "json_object"}
    assert second == {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    assert third is None
    assert answer.text is not None
    assert answer.text.format is not None
    assert answer.text.format.type == "json_schema"
    assert answer.text.format.schema_ == schema


def test_sampling_reaches_the_backend_under_chat_s_names(client: OpenAI, backend: ScriptedBackend) -> None:
    client.responses.create(model=MODEL, input="Hello?", max_output_tokens=17, temperature=0, top_p=0.5)
    sent = backend.calls[0].body
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"]) == (17, 0, 0.5)


def test_instructions_are_the_system_message(client: OpenAI, backend: ScriptedBackend) -> None:
    client.responses.create(model=MODEL, input="Hello?", instructions="Speak Latin.")
    assert texts(backend) == [("system", "You are a helpful assistant.\n\nSpeak Latin."), ("user", "Hello?")]


def test_a_previous_response_is_continued(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["One."]), Reply(["Two."]), Reply(["Three."]))
    first = client.responses.create(model=MODEL, input="Count.")
    second = client.responses.create(model=MODEL, input="On.", previous_response_id=first.id)
    third = client.responses.create(
        model=MODEL, input=[{"role": "user", "content": "On."}], previous_response_id=second.id
    )
    assert third.previous_response_id == second.id
    assert texts(backend) == [
        ("system", "You are a helpful assistant."),
        ("user", "Count."),
        ("assistant", "One."),
        ("user", "On."),
        ("assistant", "Two."),
        ("user", "On."),
    ]


def test_an_item_may_be_referred_to_by_its_id(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["One."]), Reply(["Two."]))
    first = client.responses.create(model=MODEL, input="Count.")
    said = {"type": "item_reference", "id": first.output[0].id}
    on: Any = [{"role": "user", "content": "Count."}, said, {"role": "user", "content": "On."}]
    client.responses.create(model=MODEL, input=on)
    assert texts(backend)[1:] == [("user", "Count."), ("assistant", "One."), ("user", "On.")]


def test_an_item_of_a_response_that_is_not_kept_cannot_be_referred_to(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="Hello?", store=False)
    on: Any = [{"type": "item_reference", "id": first.output[0].id}]
    with pytest.raises(openai.BadRequestError, match=r"Item with id .* not found: send the item itself"):
        client.responses.create(model=MODEL, input=on)


def test_two_responses_may_continue_the_same_one(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["One."]), Reply(["Left."]), Reply(["Right."]))
    first = client.responses.create(model=MODEL, input="Count.")
    client.responses.create(model=MODEL, input="Left?", previous_response_id=first.id)
    client.responses.create(model=MODEL, input="Right?", previous_response_id=first.id)
    assert texts(backend)[1:] == [("user", "Count."), ("assistant", "One."), ("user", "Right?")]


def test_what_was_sent_in_a_turn_is_the_beginning_of_the_next(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(['Ein Apfel: 🍎 "rot"\n']), Reply(["Ja."]))
    first = client.responses.create(model=MODEL, input="Was ißt du?")
    client.responses.create(model=MODEL, input="Wirklich?", previous_response_id=first.id)
    before, after = (call.raw for call in backend.calls)
    assert after.startswith(before[: before.rindex(b'], "stream"')])


def test_instructions_are_not_carried_over_to_the_next_response(client: OpenAI, backend: ScriptedBackend) -> None:
    first = client.responses.create(model=MODEL, input="Hello?", instructions="Speak Latin.")
    second = client.responses.create(model=MODEL, input="And now?", previous_response_id=first.id)
    assert second.instructions is None
    assert "Latin" not in str(backend.calls[1].body)
    client.responses.create(model=MODEL, input="And now?", previous_response_id=first.id, instructions="Speak Greek.")
    assert texts(backend)[0][1].endswith("Speak Greek.")
    assert "Latin" not in str(backend.calls[2].body)


def test_a_response_is_read_back_as_it_was(client: OpenAI, http: httpx2.Client, backend: ScriptedBackend) -> None:
    raw = client.responses.with_raw_response.create(model=MODEL, input="Hello?", metadata={"k": "v"}, temperature=0.5)
    said = raw.http_response.json()
    assert http.get(f"/v1/responses/{said['id']}").json() == said
    assert client.responses.retrieve(said["id"]).output_text == "Hello there."


def test_a_deleted_response_is_gone(client: OpenAI, http: httpx2.Client, backend: ScriptedBackend) -> None:
    answer = client.responses.create(model=MODEL, input="Hello?")
    assert http.delete(f"/v1/responses/{answer.id}").json() == {
        "id": answer.id,
        "object": "response",
        "deleted": True,
    }
    for ask in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            ask(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="On.", previous_response_id=answer.id)


def test_what_continues_a_deleted_response_still_knows_what_was_said(client: OpenAI, backend: ScriptedBackend) -> None:
    first = client.responses.create(model=MODEL, input="Count.")
    second = client.responses.create(model=MODEL, input="On.", previous_response_id=first.id)
    client.responses.delete(first.id)
    client.responses.create(model=MODEL, input="On!", previous_response_id=second.id)
    assert [text for _, text in texts(backend)[1:]] == ["Count.", "Hello there.", "On.", "Hello there.", "On!"]


def test_input_items_are_paged_both_ways(client: OpenAI, http: httpx2.Client, backend: ScriptedBackend) -> None:
    items: list[Any] = [{"role": "user" if n % 2 == 0 else "assistant", "content": f"line {n}"} for n in range(5)]
    answer = client.responses.create(model=MODEL, input=items)
    path = f"/v1/responses/{answer.id}/input_items"

    page = http.get(path, params={"limit": 2, "order": "asc"}).json()
    assert page["object"] == "list"
    assert [item["content"][0]["text"] for item in page["data"]] == ["line 0", "line 1"]
    assert [item["content"][0]["type"] for item in page["data"]] == ["input_text", "output_text"]
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
    assert page["has_more"] is True

    last = http.get(path, params={"limit": 2, "order": "desc"}).json()
    rest = http.get(path, params={"limit": 3, "after": last["last_id"]}).json()
    assert [item["content"][0]["text"] for item in last["data"] + rest["data"]] == [
        f"line {n}" for n in (4, 3, 2, 1, 0)
    ]
    assert rest["has_more"] is False

    end = http.get(path, params={"after": rest["last_id"]}).json()
    assert (end["data"], end["first_id"], end["last_id"], end["has_more"]) == ([], None, None, False)

    ids = [item.id for item in client.responses.input_items.list(answer.id, limit=2, order="asc")]
    assert len(set(ids)) == 5
    assert ids[:2] == [item["id"] for item in page["data"]]
    assert http.get(path, params={"after": "msg_unknown"}).status_code == 404


def test_input_items_show_the_whole_conversation_with_calls_and_results(
    http: httpx2.Client, backend: ScriptedBackend
) -> None:
    items = [
        {"role": "user", "content": "Look."},
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": '{"path": "a"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "apples"},
    ]
    first = http.post("/v1/responses", json={"input": items}).json()
    second = http.post("/v1/responses", json={"input": "More.", "previous_response_id": first["id"]}).json()
    page = http.get(f"/v1/responses/{second['id']}/input_items", params={"order": "asc"}).json()
    assert [item["type"] for item in page["data"]] == [
        "message", "function_call", "function_call_output", "message", "message",
    ]  # fmt: skip
    call, result = page["data"][1:3]
    assert (call["call_id"], call["name"], call["arguments"]) == ("c1", "read", '{"path": "a"}')
    assert (result["call_id"], result["output"]) == ("c1", "apples")


def test_what_is_not_known_is_accepted(http: httpx2.Client, backend: ScriptedBackend) -> None:
    body = {
        "input": [{"role": "user", "content": "Hello?", "phase": "first"}],
        "tools": [{"type": "teleport", "to": [1]}, {"type": "web_search"}],
        "include": ["reasoning.encrypted_content"],
        "client_metadata": {"a": 1},
        "brand_new": [1],
        "stream_options": {"include_obfuscation": False},
        "text": {"verbosity": "low"},
    }
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["tools"] == body["tools"]
    assert answer.json()["text"] == {"format": {"type": "text"}, "verbosity": "low"}


def test_a_chat_completion_is_not_a_response(client: OpenAI, backend: ScriptedBackend) -> None:
    completion = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])
    for ask in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
        with pytest.raises(openai.NotFoundError):
            ask(completion.id)
