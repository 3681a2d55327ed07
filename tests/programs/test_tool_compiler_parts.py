"""An intent that may want several things is split first, and gets a call for each part."""

from __future__ import annotations

import json
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


def call(city: str) -> dict[str, Any]:
    return {"name": "weather", "arguments": {"city": city}}


class Model:
    """Splits as it is told to, and calls for each of these cities."""

    def __init__(self) -> None:
        self.parts: str = json.dumps({"parts": ["weather in Rome", "weather in Oslo"]})
        self.cities = ["Rome", "Oslo"]

    def __call__(self, body: dict[str, Any]) -> Reply:
        if splits(body):
            return Reply([self.parts])
        return Reply([json.dumps({"tool_calls": [call(city) for city in self.cities]})])


def splits(body: dict[str, Any]) -> bool:
    return "parts" in body["response_format"]["json_schema"]["schema"]["properties"]


@pytest.fixture
async def scripted() -> AsyncIterator[tuple[ScriptedBackend, Model, ToolCompiler]]:
    model = Model()
    with ScriptedBackend(model) as backend:
        entry = ModelSettings.model_validate({"base_url": backend.base_url, "model": "scripted"})
        backends = Backends(ModelsSettings(generator=entry))
        yield backend, model, ToolCompiler(backends)
        await backends.aclose()


async def test_each_part_is_told_and_gets_a_call(scripted: tuple[ScriptedBackend, Model, ToolCompiler]) -> None:
    backend, _, compiler = scripted
    done = await compiler.acall(intent="the weather in Rome and in Oslo", tools=[WEATHER])
    assert [json.loads(made.arguments) for made in done.calls] == [{"city": "Rome"}, {"city": "Oslo"}]
    first, second = (request.body for request in backend.calls)
    assert first["messages"][-1] == {"role": "user", "content": "the weather in Rome and in Oslo"}
    assert "1. weather in Rome; like it: weather (weather)" in second["messages"][-1]["content"]
    schema = second["response_format"]["json_schema"]["schema"]
    assert [jsonschema.Draft202012Validator(schema).is_valid({"tool_calls": [call("Rome")] * n}) for n in range(4)] == [
        True,
        False,
        True,
        False,
    ]


async def test_what_is_one_thing_takes_one_call_of_the_model(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler],
) -> None:
    backend, model, compiler = scripted
    model.cities = ["Rome"]
    await compiler.acall(intent="the weather in src/rome.py", tools=[WEATHER])
    await compiler.acall(intent="the weather in Rome and in Oslo", tools=Tools(client=(WEATHER,), parallel=False))
    assert [splits(request.body) for request in backend.calls] == [False, False]


@pytest.mark.parametrize("reply", ["Rome, Oslo", '{"parts": "Rome"}', '{"parts": [1]}', '{"parts": [" "]}', "[]"])
async def test_where_the_parts_are_not_told_the_number_of_calls_is_free(
    scripted: tuple[ScriptedBackend, Model, ToolCompiler], reply: str
) -> None:
    _, model, compiler = scripted
    model.parts, model.cities = reply, ["Rome", "Oslo", "Lima"]
    done = await compiler.acall(intent="the weather in Rome, Oslo and Lima", tools=[WEATHER])
    assert len(done.calls) == 3


@pytest.mark.parametrize(
    ("least", "most", "required", "allowed"),
    [
        (1, 16, False, [0, 1, 2, 3]),
        (1, 16, True, [1, 2, 3]),
        (1, 1, False, [0, 1]),
        (1, 2, True, [1, 2]),
        (3, 3, False, [0, 3]),
        (2, 3, False, [0, 2, 3]),
        (2, 2, True, [2]),
    ],
)
def test_a_reply_has_as_many_calls_as_there_are_parts_or_none(
    least: int, most: int, required: bool, allowed: list[int]
) -> None:
    schema = calls_schema([WEATHER], [], required=required, longest=100, least=least, most=most)
    fits = jsonschema.Draft202012Validator(schema).is_valid
    assert [n for n in range(4) if fits({"tool_calls": [call("Rome")] * n})] == allowed
