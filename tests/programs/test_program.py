"""Saved programs: what they keep, and which are refused, by which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

from programs import RANTS, load_program, save_program
from programs.adapter import NativeAdapter
from programs.errors import ConfigurationError
from programs.transcript import ToolIntent

COMPILED = Path(__file__).parents[2] / "programs" / "compiled"

ALL = [name for name, _ in RANTS().named_predictors()]
HELLO = [{"role": "user", "content": "Hello?"}]

type Saved = dict[str, Any]


def prompt(rants: RANTS, name: str) -> Any:
    """What a predictor says before its inputs."""
    predictor = dict(rants.named_predictors())[name]
    return NativeAdapter().said(predictor.signature, predictor.demos, {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A program with all predictors."""
    path = tmp_path / "made" / "program.json"
    save_program(RANTS(), path, predictors=ALL, made_by={"by": "a test"})
    return path


def change(path: Path, how: Callable[[Saved], object]) -> None:
    said = json.loads(path.read_text())
    how(said)
    path.write_text(json.dumps(said))


def test_what_is_said_is_the_same_after_a_round_trip(file: Path) -> None:
    plain, loaded = RANTS(), RANTS(program=file)
    for name in ALL:
        assert prompt(loaded, name) == prompt(plain, name)


def test_only_the_named_predictors_are_kept_and_changed(tmp_path: Path) -> None:
    optimised = RANTS()
    optimised.direct.act.demos = []
    write = optimised.explore.write
    write.signature = write.signature.with_instructions("Look twice.")
    turn = {"budget": "Much.", "reasoning": "", "code": "print(1)"}
    demo = {"messages": HELLO, "context": "A str.", "observation": "1", "budget": "Less.", "reasoning": "", "code": "2"}
    write.demos = [dspy.Example(augmented=True, history=dspy.History(messages=[turn]), **demo)]
    path = tmp_path / "program.json"
    save_program(optimised, path, predictors=["explore.write"], made_by={"seed": 1})
    assert list(json.loads(path.read_text())["predictors"]) == ["explore.write"]
    again = RANTS()
    assert load_program(again, path).made_by == {"seed": 1}
    assert prompt(again, "explore.write") == prompt(optimised, "explore.write")
    assert again.direct.act.demos
    with pytest.raises(ConfigurationError, match="no predictor 'explore'"):
        save_program(optimised, path, predictors=["explore"], made_by={})


def test_intents_and_calls_of_demonstrations_are_said_as_before(tmp_path: Path) -> None:
    rants = RANTS()
    intents = [ToolIntent(text="write a file", blocks={"CODE": "\tpass\r\n"})]
    rants.direct.generate.demos = [dspy.Example(messages=HELLO, text="Yes.", tool_intents=intents)]
    rants.tool_compiler.compile.demos = [dspy.Example(intent="Ring.", tool_calls=[("ring", {"n": 1}), ("stop", {})])]
    path = tmp_path / "program.json"
    names = ["direct.generate", "tool_compiler.compile"]
    save_program(rants, path, predictors=names, made_by={})
    for name in names:
        assert prompt(RANTS(program=path), name) == prompt(rants, name)


def _demo(said: Saved, name: str) -> Saved:
    demo: Saved = said["predictors"][name]["demos"][0]
    return demo


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda said: said.update(rants_program=2), "has the format 2; this RANTS reads format 1"),
        (lambda said: said.pop("rants_program"), "is no program of RANTS: make one with `rants optimize`"),
        (lambda said: said.update(predictors={}), "predictors: "),
        (lambda said: said["predictors"].update(more=said["predictors"]["explore.write"]), "no predictor 'more'"),
        (lambda said: said["predictors"]["explore.write"].pop("instructions"), "explore.write.instructions: "),
        (
            lambda said: said["predictors"]["explore.write"].update(signature="messages -> code"),
            "explore.write is for the fields `messages -> code`; here they are `messages, context, ",
        ),
        (lambda said: _demo(said, "direct.act").update(mood="glad"), "demos[0] has 'mood', which is no field"),
        (lambda said: _demo(said, "explore.write").pop("code"), "explore.write: demos[0] lacks the field 'code'"),
        (lambda said: _demo(said, "explore.write").update(history=["?"]), "demos[0] has a wrong 'history'"),
        (lambda said: _demo(said, "direct.act").update(messages=[{"content": "?"}]), "demos[0] cannot be shown"),
        (lambda said: _demo(said, "tool_compiler.compile").update(tool_calls=[1]), "demos[0] cannot be shown"),
        (lambda said: _demo(said, "tool_compiler.split").update(parts={}), "split: demos[0] has a wrong 'parts'"),
    ],
)
def test_a_program_that_does_not_fit_is_refused(file: Path, how: Callable[[Saved], object], told: str) -> None:
    change(file, how)
    rants = RANTS()
    with pytest.raises(ConfigurationError) as refused:
        load_program(rants, file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)
    for name in ALL:
        assert prompt(rants, name) == prompt(RANTS(), name), "half of it was taken"


@pytest.mark.parametrize("content", [None, "", "{", "[1]", b"\xff"])
def test_what_is_no_program_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "program.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=r"program\.json"):
        RANTS(program=path)


def test_a_program_of_dspy_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.json"
    RANTS().save(path)
    with pytest.raises(ConfigurationError, match="is no program of RANTS"):
        RANTS(program=path)


@pytest.mark.parametrize("path", sorted(COMPILED.glob("*.json")), ids=lambda path: path.name)
def test_the_programs_that_come_with_rants_fit(path: Path) -> None:
    rants = RANTS(program=path)
    before = {name: len(predictor.demos) for name, predictor in RANTS().named_predictors()}
    assert any(len(predictor.demos) != before[name] for name, predictor in rants.named_predictors())
