"""`rants eval tools`: both sides of each case, the table of them, and a run that is taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from evals.scripted import Reply, ScriptedBackend, usage
from evals.tools import tools
from evals.tools.cases import Case
from evals.tools.results import Outcome, Result
from evals.tools.table import paired
from programs import RANTS, save_program
from programs.errors import ConfigurationError
from programs.settings import ModelSettings, ModelsSettings
from programs.transcript import ToolCall

FUNCTION = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
RIGHT = {"name": "weather", "arguments": {"city": "Rome"}}


def line(name: str, category: str, *gold: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": name,
        "category": category,
        "intent": f"How warm is it in Rome? ({name})",
        "tools": [{"type": "function", "function": FUNCTION}],
        "gold": list(gold),
        "expect": "calls" if gold else "none",
    }


CASES = (
    line("a", "simple", {"name": "weather", "accepted": {"city": ["Rome"]}}),
    line("b", "simple", {"name": "weather", "accepted": {"city": ["Oslo"]}}),
    line("c", "irrelevance"),
)


def model(body: dict[str, Any]) -> Reply:
    """By itself it never calls; held to a schema it always calls for Rome."""
    said = json.dumps({"tool_calls": [RIGHT]}) if "response_format" in body else "It is warm."
    return Reply([said], usage=usage(50 if "tools" in body else 10, 5))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(f"{json.dumps(case)}\n" for case in CASES))
    return path


def models(backend: ScriptedBackend) -> ModelsSettings:
    entry = {"base_url": backend.base_url, "model": "scripted"}
    return ModelsSettings(generator=ModelSettings.model_validate(entry))


async def test_both_sides_are_asked_and_told_case_by_case(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with ScriptedBackend(model) as backend:
        await tools(cases, models(backend), out=out)
    results = {
        result.id: result
        for result in map(Result.model_validate_json, (out / "results.jsonl").read_text().splitlines())
    }
    assert {name: (result.rants.right, result.own and result.own.right) for name, result in results.items()} == {
        "a": (True, False),
        "b": (False, False),
        "c": (False, True),
    }
    assert results["b"].rants.wrong == 'weather: city is "Rome", not ["Oslo"]'
    assert all(result.rants.invalid is None for result in results.values())
    printed = capsys.readouterr().out
    assert "3 cases of cases.jsonl, scripted" in printed
    assert "right: both 0, only RANTS 1, only the model by itself 1, neither 1" in printed


async def test_a_run_goes_on_from_what_is_there(cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ScriptedBackend(model) as backend:
        await tools(cases, models(backend), count=2, out=out, own=False)
        first = len(backend.calls)
        await tools(cases, models(backend), count=2, out=out, own=False)
        assert len(backend.calls) == first
        file = out / "results.jsonl"
        file.write_text(file.read_text() + '{"id": "cut o')
        await tools(cases, models(backend), out=out, own=False)
        assert len(backend.calls) > first
        assert len(file.read_text().splitlines()) == 3
        await tools(cases, models(backend), out=out)
        assert len(file.read_text().splitlines()) == 6


@pytest.mark.slow
async def test_whatever_the_embedded_model_calls_fits_its_schema(cases: Path, tmp_path: Path) -> None:
    await tools(cases, ModelsSettings(), out=tmp_path, own=False)
    results = [Result.model_validate_json(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [result.rants.invalid for result in results] == [None] * len(CASES)


async def test_a_program_is_shown_to_the_model(cases: Path, tmp_path: Path) -> None:
    rants = RANTS()
    rants.tool_compiler.compile.demos = [dspy.Example(intent="Wanted: snow in Bergen", tool_calls=[])]
    program = tmp_path / "program.json"
    save_program(rants, program, predictors=["tool_compiler.compile"], made_by={})
    with ScriptedBackend(model) as backend:
        await tools(cases, models(backend), own=False, program=program)
        told = [message["content"] for message in backend.calls[0].body["messages"]]
    assert told[1:3] == ["Wanted: snow in Bergen", '{"tool_calls": []}']
    with pytest.raises(ConfigurationError, match=r"the program .*cases\.jsonl is no JSON"):
        await tools(cases, models(backend), program=cases)


def test_pairs_are_counted() -> None:
    case = Case.model_validate(CASES[0])

    def judged(*calls: dict[str, Any]) -> Outcome:
        made = [ToolCall(id="c", name=call["name"], arguments=json.dumps(call["arguments"])) for call in calls]
        return Outcome.judged(case, made, "", 0.1)

    result: Callable[[Outcome, Outcome], Result] = lambda rants, own: Result(  # noqa: E731
        id="a", model="m", category="simple", intent="", gold=(), rants=rants, own=own
    )
    good, bad = judged(RIGHT), judged()
    assert paired([result(good, good), result(good, bad), result(good, bad), result(bad, bad)]) == (
        "right: both 1, only RANTS 2, only the model by itself 0, neither 1"
    )
