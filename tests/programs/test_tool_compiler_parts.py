"""An intent that may want several things is split first, and gets a call for each part."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest

from evals.scripted import Reply, ScriptedBackend
from programs import Backends
from programs.grammar import calls_schema
from programs.settings import ModelSettings, ModelsSettings
from programs.tool_compiler import ToolCompiler
from programs.transcript import Tool, Tools

WEATHER = Tool(
    name="weather",
    description="Tells the weather of a city.",
    parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)

CITIES = ["Rome", "Oslo", "Lima"]


def call(city: str) -> dict[str, Any]:
    return {"name": "weather", "arguments": {"city": city}}


class Model:
    """Splits as it is told to, and calls for each city that it is asked about."""

    def __init__(self) -> None:
        self.parts: str = json.dumps({"parts": ["weather in Rome", "weather in Oslo"]})

    def __call__(self, body: dict[str, Any]) -> Reply:
        if splits(body):
            return Reply([self.parts])
        asked = wanted(body)
        return Reply([json.dumps({"tool_calls": [call(city) for city in CITIES if city in asked]})])


def splits(body: dict[str, Any]) -> bool:
    return "parts" in schema(body)["properties"]


def schema(body: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = body["response_format"]["json_schema"]["schema"]
    return found


def wanted(body: dict[str, Any]) -> str:
    """What the compiler is told is wanted."""
    found = re.search(r"Wanted: (.*)", body["messages"][-1]["content"])
    assert found
    return found[1]


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[ScriptedBackend, Model, ToolCompiler]]:
    model = Model()
    with ScriptedBackend(model) as backend:
        entry = ModelSettings.model_validate({"base_url": backend.base_url, "model": "scripted"})
        backends = Backends(ModelsSettings(generator=entry))
        yield backend, model, ToolCompiler(backends)
        await backends.aclose()


async def test_each_part_is_asked_for_and_gets_a_call(scripted: tuple[ScriptedBackend, Model, ToolCompiler]) -> None:
    backend, _, compiler = scripted
    done = await compiler.acall(intent="the weather in Rome and in Oslo", tools=[WEATHER])
    assert [json.loads(made.arguments) for made in done.calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    first, *others = (request.body for request in backend.calls)
    assert first["messages"][-1] == {"role": "user", "content": "the weather in Rome and in Oslo"}
    assert [wanted(body) for body in others] == ["weather in Rome", "weather in Oslo"]
    for body in others:
        assert "This is a part of: the weather in Rome and in Oslo" in body["messages"][-1]["content"]
        fits = jsonschema.Draft202012Validator(schema(body)).is_valid
        assert [fits({"tool_calls": [call("Rome")] * n}) for n in range(3)] == [False, True, False]


async def test_a_part_that_no_tool_is_about_needs_no_call(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler],
) -> None:
    backend, model, compiler = scripted
    model.parts = json.dumps({"parts": ["weather in Rome", "sing"]})
    done = await compiler.acall(intent="the weather in Rome, and sing", tools=[WEATHER])
    assert [json.loads(made.arguments) for made in done.calls] == [{"city": "Rome"}]
    assert jsonschema.Draft202012Validator(schema(backend.calls[-1].body)).is_valid({"tool_calls": []})


async def test_a_part_is_listed_once_and_no_more_than_there_can_be(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler],
) -> None:
    backend, model, compiler = scripted
    model.parts = json.dumps({"parts": ["weather in Rome", "weather in Oslo", "weather in Oslo"]})
    done = await compiler.acall(intent="the weather in Rome and Oslo", tools=[WEATHER])
    assert [json.loads(made.arguments) for made in done.calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert len(backend.calls) == 3
    assert schema(backend.calls[0].body)["properties"]["parts"]["maxItems"] == 2


async def test_what_is_one_thing_takes_one_call_of_the_model(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler],
) -> None:
    backend, _, compiler = scripted
    await compiler.acall(intent="the weather in src/rome.py", tools=[WEATHER])
    await compiler.acall(intent="the weather in Rome and in Oslo", tools=Tools(client=(WEATHER,), parallel=False))
    assert [splits(request.body) for request in backend.calls] == [False, False]


@pytest.mark.parametrize("reply", ["Rome, Oslo", '{"parts": "Rome"}', '{"parts": [1]}', '{"parts": [" "]}', "[]"])
async def test_where_the_parts_are_not_told_the_number_of_calls_is_free(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler], reply: str
) -> None:
    _, model, compiler = scripted
    model.parts = reply
    done = await compiler.acall(intent="the weather in Rome, Oslo and Lima", tools=[WEATHER])
    assert len(done.calls) == 3


@pytest.mark.parametrize(("required", "allowed"), [(False, [0, 1, 2]), (True, [1, 2])])
def test_a_reply_has_as_many_calls_as_it_may(required: bool, allowed: list[int]) -> None:
    found = calls_schema([WEATHER], [], required=required, longest=100, most=2)
    fits = jsonschema.Draft202012Validator(found).is_valid
    assert [n for n in range(4) if fits({"tool_calls": [call("Rome")] * n})] == allowed
