"""`rants optimize`, with models that can do a job only when they were shown, or told, how.

The scripted root LM looks the answer up by itself in every fourth task; in the others it does so only where its prompt
has a demonstration of that, or the one instruction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.benchmarks import Benchmark
from evals.optimize import Report, Sizes, optimize
from evals.scripted import Reply, ScriptedBackend, usage
from evals.tasks import Task
from programs import RANTS
from programs.errors import BackendError, ConfigurationError
from programs.settings import ModelsSettings

LOOKS = "```python\nSUBMIT(context.split('opens with ')[1].split('.')[0])\n```"
GUESSES = "```python\nSUBMIT('I do not know')\n```"
PEEKS = "```python\nprint(len(context))\n```"
TOLD = "Split the text at the word that the question names."


def make(seed: int, tokens: int, data: Path | None) -> Task:
    padding = "Nothing of note. " * 50
    easy = "Easily: which" if seed % 4 == 0 else "Which"
    return Task(
        f"{padding}Door {seed} opens with {seed * 7}. {padding}", f"{easy} key opens door {seed}?", str(seed * 7)
    )


def right(task: Task, reply: str) -> bool:
    return reply == task.answer


DOORS = Benchmark("doors", "keys of doors", make, lambda task, reply: float(right(task, reply)), right)


def model(body: dict[str, Any]) -> Reply:
    """The weak root LM; and a model that proposes the instruction, however it is asked to."""
    said = [message["content"] for message in body["messages"]]
    if "current_instruction" in said[0]:
        return Reply([json.dumps({"new_instruction": f"Answer. {TOLD}"})], usage=usage(10, 10))
    if "proposed_instruction" in said[0]:
        return Reply(
            [f"[[ ## proposed_instruction ## ]]\nAnswer. {TOLD}\n\n[[ ## completed ## ]]"], usage=usage(10, 10)
        )
    shown = "opens with" in "".join(said[1:-1])
    told = TOLD in said[0]
    return Reply([LOOKS if shown or told or "Easily" in said[-1] else GUESSES], usage=usage(100, 10))


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(model) as scripted:
        yield scripted


def search(backend: ScriptedBackend, out: Path, optimizer: str, target: str = "explore", **options: Any) -> Report:
    entry = {"base_url": backend.base_url, "model": "scripted", "context_window": 16_000}
    asked: dict[str, Any] = {"benchmark": DOORS, "sizes": Sizes(8, 4, 8), "calls": 40, "demos": 1, "tokens": 500}
    return optimize(
        target,
        optimizer,
        out,
        models=ModelsSettings.model_validate({"generator": entry}),
        **(asked | options),
    )


@pytest.mark.parametrize("optimizer", ["bootstrap", "gepa", "miprov2"])
def test_an_optimiser_finds_what_the_model_lacks(backend: ScriptedBackend, tmp_path: Path, optimizer: str) -> None:
    out = tmp_path / "program.json"
    report = search(backend, out, optimizer)
    assert (report.before.right, report.after.right) == (1, 4)
    assert (report.test_before.right, report.test_after and report.test_after.right) == (2, 8)
    saved = json.loads(out.read_text())
    assert list(saved["predictors"]) == ["explore.write"]
    assert saved["made_by"]["optimizer"] == optimizer
    assert saved["made_by"]["dev"] == {"before": 0.25, "after": 1.0}
    write = RANTS(program=out).explore.write
    assert any("opens with" in str(demo) for demo in write.demos) or TOLD in write.signature.instructions


def test_what_is_shown_is_one_whole_run(backend: ScriptedBackend, tmp_path: Path) -> None:
    """The last turn, with the turns before it as its history; and the demonstrations that were there stay or go."""

    def twice(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"]]
        if "Budget left" in said[-1] and "opens door" not in said[-1]:
            return Reply([LOOKS])
        shown = "print(len(context))" in "".join(said[1:-1])
        return Reply(
            ["First a look.\n```python\nprint(len(context))\n```" if shown or "Easily" in said[-1] else GUESSES]
        )

    backend.script = twice
    out = tmp_path / "program.json"
    assert search(backend, out, "bootstrap").better
    *_, demo = json.loads(out.read_text())["predictors"]["explore.write"]["demos"]
    assert "opens door" in demo["messages"][-1]["content"]
    (turn,) = demo["history"]["messages"]
    assert (turn["reasoning"], turn["code"]) == ("First a look.", "print(len(context))")
    assert demo["observation"].strip().isdecimal()
    assert "opens with" in demo["code"]
    assert "Nothing of note." in demo["context"]
    assert len(str(demo)) < 8000


def test_what_was_cut_off_goes_on_without_asking_again(backend: ScriptedBackend, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    search(backend, whole, "bootstrap")
    asked = len(backend.calls)
    backend.requests = []
    answered = 0

    def breaks(body: dict[str, Any]) -> Reply:
        nonlocal answered
        answered += 1
        return model(body) if answered <= asked // 2 else Reply(status=401)

    backend.script = breaks
    with pytest.raises(BackendError):
        search(backend, parts, "bootstrap")
    assert not parts.exists()
    backend.script = model
    backend.requests = []
    report = search(backend, parts, "bootstrap")
    assert report.better
    assert len(backend.calls) == asked - asked // 2
    programs = [json.loads(path.read_text())["predictors"] for path in (whole, parts)]
    assert programs[0] == programs[1]
    backend.requests = []
    search(backend, parts, "bootstrap")
    assert backend.calls == []


@pytest.mark.parametrize("optimizer", ["gepa", "miprov2"])
def test_proposals_are_not_asked_for_again_either(backend: ScriptedBackend, tmp_path: Path, optimizer: str) -> None:
    out = tmp_path / "program.json"
    first = search(backend, out, optimizer)
    program = out.read_text()
    backend.requests = []
    assert search(backend, out, optimizer) == first
    assert backend.calls == []
    assert json.loads(out.read_text())["predictors"] == json.loads(program)["predictors"]


def test_the_budget_ends_it_and_what_was_found_is_kept(backend: ScriptedBackend, tmp_path: Path) -> None:
    out = tmp_path / "program.json"
    with pytest.raises(ConfigurationError, match="before the development set was done once"):
        search(backend, out, "bootstrap", calls=3)
    report = search(backend, out, "bootstrap", calls=5)
    assert (report.ended, report.calls, report.better) == ("calls", 5, False)
    assert not out.exists()


def test_minutes_end_it_as_well(backend: ScriptedBackend, tmp_path: Path) -> None:
    """The replies to the first look are there at once; the next one takes longer than there is time."""
    out = tmp_path / "program.json"
    search(backend, out, "bootstrap", calls=4)
    backend.script = lambda body: Reply([GUESSES], first_delay=4)
    report = search(backend, out, "bootstrap", minutes=0.05)
    assert (report.ended, report.better) == ("minutes", False)


@pytest.mark.parametrize("optimizer", ["bootstrap", "gepa"])
def test_nothing_worse_or_equal_is_saved(backend: ScriptedBackend, tmp_path: Path, optimizer: str) -> None:
    """Here whatever is changed makes it worse."""
    plain = [demo.code for demo in RANTS().explore.write.demos]

    def spoilt(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"]]
        if "_instruction" in said[0]:
            return model(body)
        as_ever = sum(code in "".join(said[:-1]) for code in plain) == len(plain) and "opens with" not in "".join(
            said[1:-1]
        )
        return Reply([LOOKS if as_ever and TOLD not in said[0] and "door 2000001" not in said[-1] else GUESSES])

    backend.script = spoilt
    out = tmp_path / "program.json"
    report = search(backend, out, optimizer)
    assert not report.better
    assert report.before == report.after
    assert not out.exists()


def test_a_teacher_shows_how_it_is_done(backend: ScriptedBackend, tmp_path: Path) -> None:
    """The model alone never does it; only the teacher's runs may be shown."""

    def script(body: dict[str, Any]) -> Reply:
        if body["model"] == "teacher":
            return Reply([LOOKS])
        said = [message["content"] for message in body["messages"]]
        return Reply([LOOKS if "opens with" in "".join(said[1:-1]) else GUESSES])

    backend.script = script
    assert not search(backend, tmp_path / "alone.json", "bootstrap").better
    entry = {"base_url": backend.base_url, "model": "teacher", "context_window": 16_000}
    teacher = ModelsSettings.model_validate({"generator": entry})
    report = search(backend, tmp_path / "taught.json", "bootstrap", teacher=teacher)
    assert (report.before.right, report.after.right) == (0, 4)
    assert json.loads((tmp_path / "taught.json").read_text())["made_by"]["teacher"] == "teacher"


def test_an_answer_in_one_call_can_be_better_too(backend: ScriptedBackend, tmp_path: Path) -> None:
    """The generator is told; what it reads is too long to be shown, and what reflects reads less of it."""

    def script(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"]]
        if "current_instruction" in said[0]:
            assert "characters are left out here" in said[-1]
            return model(body)
        number = int(said[-1].rpartition("door ")[2].rstrip("?"))
        return Reply([str(number * 7) if TOLD in said[0] else "No idea."])

    backend.script = script
    long = Benchmark("long", "", lambda seed, *_: longer(make(seed, 0, None)), DOORS.score, DOORS.right)
    out = tmp_path / "program.json"
    report = search(backend, out, "gepa", target="generate", benchmark=long)
    assert (report.before.right, report.after.right) == (0, 4)
    assert json.loads(out.read_text())["predictors"]["direct.generate"]["demos"] == []


def longer(task: Task) -> Task:
    return replace(task, context=task.context * 12)


def test_several_at_once_come_to_the_same(backend: ScriptedBackend, tmp_path: Path) -> None:
    report = search(backend, tmp_path / "program.json", "gepa", concurrency=4)
    assert (report.before.right, report.after.right) == (1, 4)
    report = search(backend, tmp_path / "short.json", "bootstrap", concurrency=4, calls=6)
    assert (report.ended, report.calls) == ("calls", 6)


def test_what_does_not_go_together_is_refused(backend: ScriptedBackend, tmp_path: Path) -> None:
    out = tmp_path / "program.json"
    with pytest.raises(ConfigurationError, match="there are bootstrap, gepa, miprov2"):
        search(backend, out, "best")
    with pytest.raises(ConfigurationError, match="explore is optimised with --benchmark NAME"):
        search(backend, out, "gepa", benchmark=None, cases=tmp_path)
    with pytest.raises(ConfigurationError, match="either --benchmark NAME or --cases FILE"):
        search(backend, out, "gepa", benchmark=None)
    backend.script = lambda body: Reply(["?"])
    with pytest.raises(ConfigurationError, match="--teacher"):
        search(backend, out, "miprov2")
