"""The tool compiler over HTTP: an intent becomes calls that fit, or a problem in words; and what the model is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from programs import Backends, Message
from programs.backends import run_sync
from programs.errors import BackendUnavailable
from programs.settings import ModelSettings, ModelsSettings, ResilienceSettings
from programs.tool_compiler import ToolCompiler, shortlist
from programs.tool_outline import full
from programs.transcript import Tool, ToolIntent, Tools, estimate_tokens

TEXT = {"type": "string"}
READ = Tool(
    name="read",
    description="Reads a file.",
    parameters={"type": "object", "properties": {"path": TEXT, "lines": {"type": "integer"}}, "required": ["path"]},
)
WRITE = Tool(
    name="write",
    description="Writes a file.",
    parameters={"type": "object", "properties": {"path": TEXT, "text": TEXT}, "required": ["path", "text"]},
)
INVALID = Tool(
    name="invalid", parameters={"type": "object", "properties": {"tool": TEXT, "error": TEXT}, "required": ["error"]}
)
WINDOW = 6000


@pytest.fixture
def model() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(in_turn(calls())) as backend:
        yield backend


@pytest.fixture
def compiler(model: ScriptedBackend) -> Iterator[ToolCompiler]:
    entry = ModelSettings(provider="openai", base_url=model.base_url, model="scripted", context_window=WINDOW)
    bound = Backends(ModelsSettings(generator=entry), ResilienceSettings(max_retries=0))
    yield ToolCompiler(bound)
    run_sync(bound.aclose())


def calls(*made: tuple[str, Any]) -> Reply:
    written = [{"name": name, "arguments": arguments} for name, arguments in made]
    return Reply([json.dumps({"tool_calls": written})], usage=usage(100, 10))


def made_of(compiled: Any) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in compiled.calls]


def last(model: ScriptedBackend, index: int = -1) -> str:
    """What the model is asked, without the demonstrations."""
    content: str = model.calls[index].body["messages"][-1]["content"]
    return content


def schema(model: ScriptedBackend) -> dict[str, Any]:
    whole = model.calls[-1].body["response_format"]["json_schema"]["schema"]
    found: dict[str, Any] = whole["properties"]["tool_calls"]
    return found


def test_an_intent_becomes_calls_that_fit(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("read", {"Path": "a", "lines": "5"}), ("Read", {"path": "b"})))
    compiled = compiler(intent="read five lines of a, b", tools=[READ, WRITE])
    assert made_of(compiled) == [("read", {"path": "a", "lines": 5}), ("read", {"path": "b"})]
    assert compiled.problem is None
    assert (compiled.usage.prompt, compiled.usage.completion) == (100, 10)
    assert "Wanted: read five lines of a, b" in last(model)
    assert "read(path: string, lines?: integer)" in last(model)
    assert model.calls[0].body["temperature"] == 0


def test_what_was_said_last_is_told_shortened(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("read", {"path": "a"})))
    messages = [
        Message(role="user", content="first"),
        Message(role="tool", content="x" * 10_000, tool_call_id="c"),
        Message(role="user", content="look at a"),
        Message(role="assistant", content="Well."),
    ]
    compiler(intent="read it", tools=[READ], messages=messages)
    assert "The user said: look at a" in last(model)
    assert "first" not in last(model)
    assert len(last(model)) < 2000


def test_a_call_that_is_written_out_needs_no_model(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    compiled = compiler(intent='call read with {"path": "a"}', tools=[READ])
    assert made_of(compiled) == [("read", {"path": "a"})]
    assert not model.calls


def test_one_that_is_written_out_wrongly_is_repaired_once(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("read", {"path": "a"})))
    compiled = compiler(intent='{"name": "read", "arguments": {"file": "a"}}', tools=[READ])
    assert made_of(compiled) == [("read", {"path": "a"})]
    assert len(model.calls) == 1
    assert "'path' is a required property" in last(model)


def test_a_reply_that_does_not_fit_is_repaired_once_with_the_validator_s_words(
    compiler: ToolCompiler, model: ScriptedBackend
) -> None:
    model.script = in_turn(calls(("read", {})), calls(("read", {"path": "a"})))
    assert made_of(compiler(intent="read a", tools=[READ])) == [("read", {"path": "a"})]
    before, after = (call.body["messages"] for call in model.calls)
    assert after[: len(before)] == before
    assert after[len(before)]["role"] == "assistant"
    assert "'path' is a required property" in after[-1]["content"]


@pytest.mark.parametrize("reply", [Reply(["I cannot."]), calls(("read", {})), calls(("rm", {})), Reply([""])])
def test_after_a_second_try_that_does_not_fit_there_is_a_problem(
    compiler: ToolCompiler, model: ScriptedBackend, reply: Reply
) -> None:
    model.script = in_turn(reply)
    compiled = compiler(intent="read a", tools=[READ])
    assert (compiled.calls, bool(compiled.problem), len(model.calls)) == ((), True, 2)
    compiled = compiler(intent="read a", tools=[READ, INVALID])
    ((name, said),) = made_of(compiled)
    assert (name, bool(said["error"]), compiled.problem) == ("invalid", True, None)


def test_what_no_tool_does_is_a_problem_at_once(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    compiled = compiler(intent="fly", tools=[READ])
    assert (compiled.calls, compiled.problem) == ((), "Nothing was done. None of the tools does this: fly")
    assert len(model.calls) == 1
    ((name, said),) = made_of(compiler(intent="fly", tools=[READ, INVALID]))
    assert (name, said["error"]) == ("invalid", "None of the tools does this: fly")


def test_blocks_are_told_by_name_and_placed_by_the_gateway(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    text = "SECRET\r\n\t<<<é" * 5000
    model.script = in_turn(calls(("write", {"path": "a", "text": {"$block": "CODE"}})))
    intent = ToolIntent(text="write a with block CODE", blocks={"CODE": text})
    assert made_of(compiler(intent=intent, tools=[WRITE])) == [("write", {"path": "a", "text": text})]
    assert len(model.calls[0].raw) < 100_000
    inner = schema(model)["items"]["properties"]["arguments"]["properties"]["text"]["anyOf"]
    assert inner[1]["properties"] == {"$block": {"enum": ["CODE"]}}


def test_a_block_that_is_lost_is_asked_for_again(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("read", {"path": "a"})), calls(("write", {"path": "a", "text": {"$block": "CODE"}})))
    intent = ToolIntent(text="write a with block CODE", blocks={"CODE": "x = 1"})
    assert made_of(compiler(intent=intent, tools=[READ, WRITE])) == [("write", {"path": "a", "text": "x = 1"})]
    assert 'The text of {"$block": "CODE"} is in none of the arguments' in last(model)


def test_a_block_that_is_not_all_there_is_a_problem_without_a_call(
    compiler: ToolCompiler, model: ScriptedBackend
) -> None:
    intent = ToolIntent(text="write a", blocks={"CODE": "x ="}, complete=False)
    compiled = compiler(intent=intent, tools=[WRITE])
    assert (compiled.calls, len(model.calls)) == ((), 0)
    assert "cut off inside block CODE" in compiled.problem


def test_a_block_that_is_named_and_not_written_is_a_problem_without_a_call(
    compiler: ToolCompiler, model: ScriptedBackend
) -> None:
    intent = ToolIntent(text="in a replace block OLD with block NEW", blocks={"OLD": "x"})
    compiled = compiler(intent=intent, tools=[WRITE])
    assert (compiled.calls, len(model.calls)) == ((), 0)
    assert "Block NEW is named and not written" in compiled.problem


def test_an_intent_that_no_window_holds_is_a_problem_without_a_call(
    compiler: ToolCompiler, model: ScriptedBackend
) -> None:
    compiled = compiler(intent="read a " * WINDOW, tools=[READ])
    assert (compiled.calls, len(model.calls)) == ((), 0)
    assert "exact text belongs in blocks" in compiled.problem


def test_with_a_named_tool_no_other_is_shown_or_can_be_called(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("write", {"path": "a", "text": "b"})), calls(("read", {"path": "a"})))
    tools = Tools(client=(READ, WRITE), choice="required", named="read")
    assert made_of(compiler(intent="write a", tools=tools)) == [("read", {"path": "a"})]
    assert "write(" not in last(model, 0)
    assert "There is no tool 'write'. There are: read." in last(model)


def test_where_a_call_is_required_none_is_not_an_answer(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(), calls(("read", {"path": "a"})))
    tools = Tools(client=(READ,), choice="required")
    assert made_of(compiler(intent="anything", tools=tools)) == [("read", {"path": "a"})]
    assert schema(model)["minItems"] == 1


def test_without_parallel_calls_there_is_one(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(calls(("read", {"path": "a"}), ("read", {"path": "b"})))
    tools = Tools(client=(READ,), parallel=False)
    assert made_of(compiler(intent="read a and b", tools=tools)) == [("read", {"path": "a"})]
    assert schema(model)["maxItems"] == 1


MANY = [
    Tool(
        name=f"get_{thing}_{number}",
        description=f"Gets the {thing} number {number}. " + "More is told of it here. " * 20,
        parameters={"type": "object", "properties": {"path": {**TEXT, "description": "where it is"}}},
    )
    for number in range(15)
    for thing in ("invoice", "customer", "order", "ticket", "page", "user", "report", "file", "event", "note")
]


@pytest.mark.parametrize("named", [0, 77, 149])
def test_of_150_tools_those_are_shown_that_are_likely_and_fit(
    compiler: ToolCompiler, model: ScriptedBackend, named: int
) -> None:
    wanted = MANY[named]
    model.script = in_turn(calls((wanted.name, {"path": "a"})))
    compiled = compiler(intent=f"call {wanted.name} for a", tools=MANY)
    assert made_of(compiled) == [(wanted.name, {"path": "a"})]
    shown = [tool.name for tool in MANY if f"{tool.name}(" in last(model)]
    assert wanted.name in shown
    assert 1 < len(shown) < 150
    assert estimate_tokens(last(model)) < WINDOW * 0.5
    offered = [one["properties"]["name"]["const"] for one in schema(model)["items"]["anyOf"]]
    assert offered == shown


def test_what_all_fits_is_shown_whole_and_one_is_shown_however_large_it_is() -> None:
    assert shortlist("anything", [READ, WRITE], 10_000) == [READ, WRITE]
    large = READ.model_copy(update={"parameters": {"properties": {f"p{n}": TEXT for n in range(1000)}}})
    assert shortlist("read", [large, WRITE], 10) in ([large], [WRITE])
    room = sum(estimate_tokens(full(tool)) for tool in MANY[:10])
    kept = shortlist("the order and the ticket", MANY, room)
    assert sum(estimate_tokens(full(tool)) for tool in kept) <= room
    assert all("order" in tool.name or "ticket" in tool.name for tool in kept[:5])


def test_a_backend_that_refuses_the_schema_is_asked_without_it(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    def script(body: dict[str, Any]) -> Reply:
        if "response_format" in body:
            return Reply(status=400, error={"message": "unsupported"})
        return calls(("read", {"path": "a"}))

    model.script = script
    assert made_of(compiler(intent="read a", tools=[READ])) == [("read", {"path": "a"})]
    assert len(model.calls) == 2


def test_a_backend_that_fails_is_an_error(compiler: ToolCompiler, model: ScriptedBackend) -> None:
    model.script = in_turn(Reply(status=500))
    with pytest.raises(BackendUnavailable, match="tool_compiler"):
        compiler(intent="read a", tools=[READ])
