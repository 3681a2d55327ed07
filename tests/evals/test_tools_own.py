"""The model's own function calling: how it is asked, and which of its words are calls."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from evals.scripted import Reply, ScriptedBackend, usage
from evals.tools.own import Own, written
from programs import Backends
from programs.settings import ModelSettings, ModelsSettings
from programs.transcript import Tool

TOOLS = (Tool(name="weather", description="Tells the weather.", parameters={"type": "object", "properties": {}}),)
CALL = '{"name": "weather", "arguments": {"city": "Rome"}}'


@pytest.mark.parametrize(
    "text",
    [
        CALL,
        f"Let me see.\n<tool_call>\n{CALL}\n</tool_call>",
        f"```json\n{CALL}\n```",
        f"[{CALL}]",
        '{"tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}, "type": "function"}]}',
        '{"name": "weather", "parameters": {"city": "Rome"}}',
        f"I will call {CALL} now, I {{hope}}.",
    ],
)
def test_a_call_is_read_in_the_usual_ways_of_writing_it(text: str) -> None:
    assert written(text) == [("weather", {"city": "Rome"})]


def test_several_calls_are_read_in_their_order() -> None:
    assert [arguments for _, arguments in written(f"{CALL}\n{CALL.replace('Rome', 'Oslo')}")] == [
        {"city": "Rome"},
        {"city": "Oslo"},
    ]


@pytest.mark.parametrize("text", ["", "It is {warm} [1].", '{"city": "Rome"}', CALL[:-1], "[1, 2]", '"weather"'])
def test_other_words_are_no_calls(text: str) -> None:
    assert written(text) == []


class Model:
    """A scripted model, of a template that does or does not tell it the tools of a request."""

    def __init__(self, *, native: bool, says: str) -> None:
        self.native, self.says = native, says

    def __call__(self, body: dict[str, Any]) -> Reply:
        told = self.native and "tools" in body
        return Reply([self.says], usage=usage(50 if told else 10, 5))


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[ScriptedBackend, Own]]:
    with ScriptedBackend(Model(native=True, says=CALL)) as backend:
        entry = ModelSettings.model_validate({"base_url": backend.base_url, "model": "scripted"})
        backends = Backends(ModelsSettings(generator=entry))
        yield backend, Own(backends.lm("tool_compiler"))
        await backends.aclose()


async def test_tools_go_with_the_request(scripted: tuple[ScriptedBackend, Own]) -> None:
    backend, own = scripted
    calls, said = await own.ask("How warm is it in Rome?", TOOLS)
    asked = backend.calls[-1].body
    assert asked["messages"] == [{"role": "user", "content": "How warm is it in Rome?"}]
    assert asked["tools"] == [{"type": "function", "function": TOOLS[0].model_dump(exclude_unset=True)}]
    assert asked["temperature"] == 0
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("weather", {"city": "Rome"})]
    assert said == CALL


async def test_a_model_that_is_not_told_its_tools_by_its_template_is_told_in_words(
    scripted: tuple[ScriptedBackend, Own],
) -> None:
    backend, own = scripted
    backend.script = Model(native=False, says="It is warm there.")
    assert await own.ask("How warm is it in Rome?", TOOLS) == ([], "It is warm there.")
    asked = backend.calls[-1].body
    assert "tools" not in asked
    assert '"name":"weather"' in asked["messages"][0]["content"]
    before = len(backend.calls)
    await own.ask("And in Oslo?", TOOLS)
    assert len(backend.calls) == before + 1
