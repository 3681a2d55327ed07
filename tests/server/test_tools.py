"""Client tools over both APIs: intents in plain English reach the client as calls that fit, and come back as such."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from evals.scripted import Call, Reply, Script, ScriptedBackend
from tests.support import response_events

MODEL = "rants-one"
EXACT = "\tdef é():\r\n    return '''<<<'''\n>>>OTHER\n\n  \"\"\"x\"\"\"  "
WRITE: dict[str, Any] = {
    "name": "write",
    "description": "Writes a file.",
    "parameters": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}, "mode": {"type": "integer"}},
        "required": ["path", "content"],
        "additionalProperties": False,
    },
}
LOOK: dict[str, Any] = {
    "name": "look",
    "description": "Looks at a file.",
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
WANTS_TO_WRITE = ["I write it.\n", f"TOOL_INTENT: write a.py with block CODE\n<<<CODE\n{EXACT}\n>>>CODE"]
WRITES = ("write", {"path": "a.py", "content": {"$block": "CODE"}})


def compiles(*calls: tuple[str, dict[str, Any]]) -> Reply:
    """What a tool compiler says."""
    return Reply([json.dumps({"tool_calls": [{"name": name, "arguments": said} for name, said in calls]})])


def playing(generator: list[Reply], compiler: list[Reply]) -> Script:
    """Both roles, each with its replies in turn: a compiler is asked for calls."""
    said = {False: list(generator), True: list(compiler)}

    def script(body: dict[str, Any]) -> Reply:
        left = said[is_compiler(body)]
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def is_compiler(body: dict[str, Any]) -> bool:
    return "You turn what is wanted into calls" in body["messages"][0]["content"]


def asked(backend: ScriptedBackend, *, compiler: bool) -> list[Call]:
    return [call for call in backend.calls if is_compiler(call.body) is compiler]


@dataclass(frozen=True)
class Answer:
    """What a client has received, whichever way: calls as (id, name, arguments)."""

    text: str
    calls: list[tuple[str, str, dict[str, Any]]]
    ended: str


def chat(client: OpenAI, messages: list[Any], **more: Any) -> Answer:
    tools: Any = [{"type": "function", "function": tool} for tool in more.pop("tools", [WRITE, LOOK])]
    said = client.chat.completions.create(model=MODEL, messages=messages, tools=tools, **more)
    choice = said.choices[0]
    calls: list[Any] = choice.message.tool_calls or []
    made = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
    return Answer(choice.message.content or "", made, choice.finish_reason)


def chat_stream(client: OpenAI, messages: list[Any], **more: Any) -> Answer:
    tools: Any = [{"type": "function", "function": tool} for tool in more.pop("tools", [WRITE, LOOK])]
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=tools, **more) as stream:
        choice = stream.get_final_completion().choices[0]
    calls: list[Any] = choice.message.tool_calls or []
    made = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
    return Answer(choice.message.content or "", made, choice.finish_reason)


def response(client: OpenAI, messages: list[Any], **more: Any) -> Answer:
    tools: Any = [{"type": "function", **tool} for tool in more.pop("tools", [WRITE, LOOK])]
    said = client.responses.create(model=MODEL, input=messages, tools=tools, **more)
    calls = [item for item in said.output if item.type == "function_call"]
    return Answer(said.output_text, [(c.call_id, c.name, json.loads(c.arguments)) for c in calls], str(said.status))


def response_stream(client: OpenAI, messages: list[Any], **more: Any) -> Answer:
    tools: Any = [{"type": "function", **tool} for tool in more.pop("tools", [WRITE, LOOK])]
    with client.responses.stream(model=MODEL, input=messages, tools=tools, **more) as stream:
        said = stream.get_final_response()
    calls = [item for item in said.output if item.type == "function_call"]
    return Answer(said.output_text, [(c.call_id, c.name, json.loads(c.arguments)) for c in calls], str(said.status))


type Ask = Callable[..., Answer]
EACH_WAY = pytest.mark.parametrize("ask", [chat, chat_stream, response, response_stream])
BOTH = pytest.mark.parametrize("ask", [chat, response])


@EACH_WAY
def test_an_intent_reaches_the_client_as_a_call_with_its_blocks_byte_for_byte(
    client: OpenAI, backend: ScriptedBackend, ask: Ask
) -> None:
    backend.script = playing([Reply(WANTS_TO_WRITE)], [compiles(WRITES)])
    answer = ask(client, [{"role": "user", "content": "Write it."}])
    assert answer.text == "I write it."
    ((_, name, arguments),) = answer.calls
    assert (name, arguments) == ("write", {"path": "a.py", "content": EXACT})
    assert answer.ended in ("tool_calls", "completed")
    (compiler,) = asked(backend, compiler=True)
    assert EXACT not in json.dumps(compiler.body, ensure_ascii=False)
    assert compiler.body["temperature"] == 0


@EACH_WAY
def test_several_intents_are_parallel_calls(client: OpenAI, backend: ScriptedBackend, ask: Ask) -> None:
    backend.script = playing(
        [Reply(["TOOL_INTENT: look at a\nTOOL_INTENT: look at b and c"])],
        [compiles(("look", {"path": "a"})), compiles(("look", {"path": "b"}), ("look", {"path": "c"}))],
    )
    backend.script = _by_words(
        {"at a": ("look", {"path": "a"})},
        {"at b": ("look", {"path": "b"})},
        "TOOL_INTENT: look at a\nTOOL_INTENT: look at b",
    )
    answer = ask(client, [{"role": "user", "content": "Look."}])
    assert [(name, said["path"]) for _, name, said in answer.calls] == [("look", "a"), ("look", "b")]
    assert len({call for call, _, _ in answer.calls}) == 2


def _by_words(*answers: Any) -> Script:
    """A compiler that looks for words in what is wanted; the last of `answers` is what the generator says."""
    *known, said = answers

    def script(body: dict[str, Any]) -> Reply:
        if not is_compiler(body):
            return Reply([said])
        wanted = body["messages"][-1]["content"].rpartition("Wanted: ")[2]
        return compiles(*(call for one in known for words, call in one.items() if words in wanted))

    return script


@BOTH
def test_with_parallel_calls_off_there_is_one(client: OpenAI, backend: ScriptedBackend, ask: Ask) -> None:
    said = "TOOL_INTENT: look at a\nTOOL_INTENT: look at b"
    backend.script = _by_words({"at a": ("look", {"path": "a"})}, {"at b": ("look", {"path": "b"})}, said)
    answer = ask(client, [{"role": "user", "content": "Look."}], parallel_tool_calls=False)
    assert [said["path"] for _, _, said in answer.calls] == ["a"]
    (compiler,) = asked(backend, compiler=True)
    schema = compiler.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["tool_calls"]["maxItems"] == 1


@BOTH
def test_a_call_that_does_not_fit_is_repaired_with_the_validator_s_words(
    client: OpenAI, backend: ScriptedBackend, ask: Ask
) -> None:
    backend.script = playing(
        [Reply(["TOOL_INTENT: look at a.txt"])], [compiles(("look", {})), compiles(("look", {"path": "a.txt"}))]
    )
    answer = ask(client, [{"role": "user", "content": "Look."}])
    assert [said for _, _, said in answer.calls] == [{"path": "a.txt"}]
    first, repair = asked(backend, compiler=True)
    assert "'path' is a required property" in repair.body["messages"][-1]["content"]
    # It goes on from the first try, so that a prompt cache serves it.
    assert repair.body["messages"][: len(first.body["messages"])] == first.body["messages"]


@EACH_WAY
def test_what_cannot_be_compiled_is_told_to_the_generator_and_never_reaches_the_client(
    client: OpenAI, backend: ScriptedBackend, ask: Ask
) -> None:
    backend.script = playing([Reply(["I fly.\nTOOL_INTENT: fly to the moon"]), Reply(["I cannot fly."])], [compiles()])
    answer = ask(client, [{"role": "user", "content": "Fly."}])
    assert answer == Answer(
        "I fly.\n\nI cannot fly." if ask in (chat, chat_stream) else "I fly.I cannot fly.", [], answer.ended
    )
    assert answer.ended in ("stop", "completed")
    _, second = asked(backend, compiler=False)
    assert second.body["messages"][-1] == {
        "role": "user",
        "content": "TOOL_RESULT:\nNone of the tools does this: fly to the moon",
    }


@BOTH
def test_after_two_intents_that_could_not_be_compiled_the_generator_answers_without_tools(
    client: OpenAI, backend: ScriptedBackend, ask: Ask
) -> None:
    backend.script = playing([Reply(["TOOL_INTENT: fly"]), Reply(["TOOL_INTENT: fly"]), Reply(["No."])], [compiles()])
    answer = ask(client, [{"role": "user", "content": "Fly."}])
    assert (answer.text, answer.calls) == ("No.", [])
    assert len(asked(backend, compiler=False)) == 3
    assert "Tools:" not in asked(backend, compiler=False)[-1].body["messages"][0]["content"]


@BOTH
def test_none_offers_no_tools(client: OpenAI, backend: ScriptedBackend, ask: Ask) -> None:
    backend.script = playing([Reply(["Hello."])], [compiles()])
    answer = ask(client, [{"role": "user", "content": "Hi"}], tool_choice="none")
    assert (answer.text, answer.calls) == ("Hello.", [])
    assert "Tools:" not in backend.calls[0].body["messages"][0]["content"]


@EACH_WAY
def test_required_makes_a_call_of_what_the_generator_says(client: OpenAI, backend: ScriptedBackend, ask: Ask) -> None:
    backend.script = playing([Reply(["I could look at a.txt."])], [compiles(("look", {"path": "a.txt"}))])
    answer = ask(client, [{"role": "user", "content": "Look."}], tool_choice="required")
    assert (answer.text, [said for _, _, said in answer.calls]) == ("", [{"path": "a.txt"}])
    (compiler,) = asked(backend, compiler=True)
    assert "Wanted: I could look at a.txt.\n\nLike it: look (look)" in compiler.body["messages"][-1]["content"]
    assert compiler.body["response_format"]["json_schema"]["schema"]["properties"]["tool_calls"]["minItems"] == 1


@pytest.mark.parametrize(
    ("ask", "choice"),
    [
        (chat, {"type": "function", "function": {"name": "look"}}),
        (response, {"type": "function", "name": "look"}),
        (response, {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}),
    ],
)
def test_a_named_function_is_the_only_one_that_can_be_called(
    client: OpenAI, backend: ScriptedBackend, ask: Ask, choice: Any
) -> None:
    backend.script = playing([Reply(["TOOL_INTENT: write a"])], [compiles(("look", {"path": "a"}))])
    answer = ask(client, [{"role": "user", "content": "Write."}], tool_choice=choice)
    assert [name for _, name, _ in answer.calls] == ["look"]
    (compiler,) = asked(backend, compiler=True)
    assert "write(" not in compiler.body["messages"][-1]["content"]


@EACH_WAY
@pytest.mark.parametrize(
    "written",
    [
        '{"name": "look", "arguments": {"path": "a.txt"}}',
        '```json\n{"name": "look", "arguments": {"path": "a.txt"}}\n```',
        '<tool_call>\n{"name": "look", "arguments": {"path": "a.txt"}}\n</tool_call>',
        "<function=look>\n<parameter=path>\na.txt\n</parameter>\n</function>",
        'TOOL_INTENT: call look with {"path": "a.txt"}',
    ],
)
def test_a_call_that_the_generator_writes_out_is_no_text_and_needs_no_compiler(
    client: OpenAI, backend: ScriptedBackend, ask: Ask, written: str
) -> None:
    backend.script = playing([Reply(["Right.\n", *written])], [compiles()])
    answer = ask(client, [{"role": "user", "content": "Look."}])
    assert (answer.text, [said for _, _, said in answer.calls]) == ("Right.", [{"path": "a.txt"}])
    assert not asked(backend, compiler=True)


def test_over_chat_the_next_prompt_retells_the_intent_and_begins_with_the_one_before(
    client: OpenAI, backend: ScriptedBackend
) -> None:
    backend.script = playing([Reply(WANTS_TO_WRITE), Reply(["Done."])], [compiles(WRITES)])
    messages: list[Any] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write it."}]
    answer = chat(client, messages)
    ((call_id, name, arguments),) = answer.calls
    # As opencode does, arguments are written anew.
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    messages += [
        {"role": "assistant", "content": answer.text, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": "written"},
    ]
    assert chat(client, messages).text == "Done."
    _retold(backend)


@pytest.mark.parametrize("stored", [True, False])
def test_over_responses_too_whether_stored_or_not(client: OpenAI, backend: ScriptedBackend, stored: bool) -> None:
    backend.script = playing([Reply(WANTS_TO_WRITE), Reply(["Done."])], [compiles(WRITES)])
    items: list[Any] = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Write it."}]
    answer = response(client, items, store=stored)
    ((call_id, name, arguments),) = answer.calls
    items += [
        {"role": "assistant", "content": [{"type": "output_text", "text": answer.text}]},
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": json.dumps(arguments)},
        {"type": "function_call_output", "call_id": call_id, "output": "written"},
    ]
    assert response(client, items, store=stored).text == "Done."
    _retold(backend)


def test_after_a_previous_response_the_result_is_enough(client: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = playing([Reply(WANTS_TO_WRITE), Reply(["Done."])], [compiles(WRITES)])
    tools: Any = [{"type": "function", **WRITE}]
    first = client.responses.create(model=MODEL, input="Write it.", tools=tools)
    call = next(item for item in first.output if item.type == "function_call")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "written"}
    second = client.responses.create(model=MODEL, input=[result], tools=tools, previous_response_id=first.id)
    assert second.output_text == "Done."
    _retold(backend)


def _retold(backend: ScriptedBackend) -> None:
    before, after = (call.body["messages"] for call in asked(backend, compiler=False))
    assert after[: len(before)] == before
    assert after[len(before) :] == [
        {"role": "assistant", "content": "".join(WANTS_TO_WRITE)},
        {"role": "user", "content": "TOOL_RESULT write:\nwritten"},
    ]


def test_calls_that_nobody_knows_and_results_without_a_call_are_told_as_they_are(
    client: OpenAI, backend: ScriptedBackend
) -> None:
    backend.script = playing([Reply(["Well."])], [compiles()])
    known: Any = {"id": "call_9", "type": "function", "function": {"name": "look", "arguments": '{"path": "a"}'}}
    messages: list[Any] = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "Yes.", "tool_calls": [known]},  # its result is missing
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "call_404", "content": "lost"},
        {"role": "user", "content": "So?"},
    ]
    assert chat(client, messages).text == "Well."
    told = backend.calls[0].body["messages"]
    assert [message["content"] for message in told[-2:]] == [
        'Yes.\nTOOL_INTENT: call look with {"path": "a"}',
        "And?\n\nTOOL_RESULT:\nlost\n\nSo?",
    ]


def test_the_events_of_a_call_are_those_that_clients_execute_on(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = playing([Reply(WANTS_TO_WRITE)], [compiles(WRITES)])
    body = {"model": MODEL, "input": "Write it.", "stream": True, "tools": [{"type": "function", **WRITE}]}
    events = response_events(http.post("/v1/responses", json=body))
    kinds = [event["type"].removeprefix("response.") for event in events]
    end = kinds.index("output_item.done")
    assert kinds[end + 1 :] == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    added, delta, done, item_done, completed = events[end + 1 :]
    assert (added["item"]["arguments"], added["item"]["status"]) == ("", "in_progress")
    assert delta["delta"] == done["arguments"] == item_done["item"]["arguments"]
    assert completed["response"]["output"][1] == item_done["item"]
    assert len({event["output_index"] for event in events[end + 1 : -1]}) == 1
    read_back = http.get(f"/v1/responses/{completed['response']['id']}").json()
    assert read_back["output"] == completed["response"]["output"]
    replayed = response_events(http.get(f"/v1/responses/{read_back['id']}", params={"stream": "true"}))
    assert [event["type"] for event in replayed if event["type"] != "response.in_progress"] == [
        event["type"] for event in events if event["type"] != "response.in_progress"
    ]


def test_a_namespaced_function_is_called_under_its_namespace(http: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = playing([Reply(["TOOL_INTENT: look at a"])], [compiles(("look", {"path": "a"}))])
    tools = [
        {"type": "namespace", "name": "agents", "tools": [{"type": "function", **LOOK}]},
        {"type": "web_search", "external_web_access": True},
        {"type": "custom", "name": "apply_patch"},
    ]
    said = http.post("/v1/responses", json={"model": MODEL, "input": "Look.", "tools": tools}).json()
    (call,) = said["output"]
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "look", "agents")


def test_a_backend_that_refuses_the_schema_is_asked_without_it(client: OpenAI, backend: ScriptedBackend) -> None:
    def script(body: dict[str, Any]) -> Reply:
        if not is_compiler(body):
            return Reply(["TOOL_INTENT: look at a"])
        if "response_format" in body:
            return Reply(status=400, error={"message": "unsupported keyword"})
        return compiles(("look", {"path": "a"}))

    backend.script = script
    assert [said for _, _, said in chat(client, [{"role": "user", "content": "Look."}]).calls] == [{"path": "a"}]


@EACH_WAY
def test_a_compiler_that_fails_fails_the_request_before_any_call_is_told(
    client: OpenAI, backend: ScriptedBackend, ask: Ask
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return Reply(status=500) if is_compiler(body) else Reply(["TOOL_INTENT: look at a"])

    backend.script = script
    with pytest.raises(Exception) as failure:
        answer = ask(client, [{"role": "user", "content": "Look."}])
        assert not answer.calls
        raise RuntimeError(answer.ended)
    assert "tool_compiler" in str(failure.value) or "failed" in str(failure.value)
