"""`rants optimize` with cases of tool calls: the compiler, and the generator that says what it wants done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.optimize import Report, Sizes, optimize
from evals.scripted import Reply, ScriptedBackend
from programs import RANTS
from programs.errors import ConfigurationError
from programs.settings import ModelsSettings

CITIES = ("Rome", "Oslo", "Bern", "Kiel", "Lyon", "Graz", "Bonn", "Cork", "Gent", "Lodz", "Pisa", "Metz")
EASY = ("Rome", "Bern", "Lyon", "Bonn", "Gent", "Pisa")
WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def case(city: str) -> dict[str, Any]:
    return {
        "id": city,
        "category": "easy" if city in EASY else "hard",
        "intent": f"Is it warm in {city}?",
        "tools": [{"type": "function", "function": WEATHER}],
        "gold": [{"name": "weather", "accepted": {"city": [city]}}],
        "expect": "calls",
    }


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(f"{json.dumps(case(city))}\n" for city in CITIES))
    return path


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(compiler) as scripted:
        yield scripted


def city_in(text: str) -> str:
    return next(city for city in CITIES if city in text)


def is_shown(messages: list[str]) -> bool:
    return any(f"Is it warm in {city}?" in message for message in messages[:-1] for city in EASY)


def compiler(body: dict[str, Any]) -> Reply:
    """It knows the easy cities; the others only where one is shown."""
    said = [message["content"] for message in body["messages"]]
    city = city_in(said[-1])
    called = city if city in EASY or is_shown(said) else "Atlantis"
    return Reply([json.dumps({"tool_calls": [{"name": "weather", "arguments": {"city": called}}]})])


def search(backend: ScriptedBackend, target: str, cases: Path, out: Path, **options: Any) -> Report:
    entry = {"base_url": backend.base_url, "model": "scripted", "context_window": 16_000}
    models = ModelsSettings.model_validate({"generator": entry})
    asked: dict[str, Any] = {"cases": cases, "sizes": Sizes(4, 4, 6), "calls": 40, "demos": 1}
    return optimize(target, "bootstrap", out, models=models, **(asked | options))


def test_the_compiler_is_shown_what_it_did_well(backend: ScriptedBackend, cases: Path, tmp_path: Path) -> None:
    out = tmp_path / "program.json"
    report = search(backend, "compile-tools", cases, out)
    assert report.before.right < report.after.right
    assert report.test_before.right < 6
    assert report.test_after is not None
    assert report.test_after.right == 6
    saved = json.loads(out.read_text())["predictors"]
    assert list(saved) == ["tool_compiler.compile", "tool_compiler.split"]
    demos = RANTS(program=out).tool_compiler.compile.demos
    plain = RANTS().tool_compiler.compile.demos
    assert [demo.intent for demo in demos[: len(plain)]] == [demo.intent for demo in plain]
    assert any("Is it warm in" in demo.intent for demo in demos)


def test_a_wrong_try_is_not_shown(backend: ScriptedBackend, cases: Path, tmp_path: Path) -> None:
    """It first writes what does not fit, each time, and is told so: what is shown is the right call, at once."""

    def script(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"]]
        again = "This cannot be used." in said[-1]
        before = said[:-2] if again else said
        city = city_in(before[-1])
        if not is_shown(before) and not (again and city in EASY):
            return Reply(["Well, hm."])
        return Reply([json.dumps({"tool_calls": [{"name": "weather", "arguments": {"city": city}}]})])

    backend.script = script
    out = tmp_path / "program.json"
    assert search(backend, "compile-tools", cases, out).better
    told = out.read_text()
    assert "Is it warm in" in told
    assert "Well, hm." not in told
    assert "This cannot be used" not in told


def test_the_generator_is_shown_how_to_want(backend: ScriptedBackend, cases: Path, tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"]]
        if "Wanted:" in said[-1]:
            city = next((city for city in CITIES if city in said[-1]), "Atlantis")
            return Reply([json.dumps({"tool_calls": [{"name": "weather", "arguments": {"city": city}}]})])
        city = city_in(said[-1])
        if city in EASY or is_shown(said):
            return Reply([f"TOOL_INTENT: tell the weather of {city}"])
        return Reply(["I cannot know that."])

    backend.script = script
    out = tmp_path / "program.json"
    report = search(backend, "generate", cases, out)
    assert report.before.right < report.after.right
    assert list(json.loads(out.read_text())["predictors"]) == ["direct.act"]
    *_, demo = RANTS(program=out).direct.act.demos
    assert demo.tool_intents[0]["text"].startswith("tell the weather of")


def test_too_few_cases_are_refused(backend: ScriptedBackend, cases: Path, tmp_path: Path) -> None:
    cases.write_text(f"{json.dumps(case('Rome'))}\n")
    with pytest.raises(ConfigurationError, match="holds 1 cases: too few"):
        search(backend, "compile-tools", cases, tmp_path / "program.json")
