"""`rants optimize`: from a benchmark to a program that a server takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.scripted import Reply, ScriptedBackend
from programs.errors import ConfigurationError
from server.cli import app


def variables(backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BASE_URL": backend.base_url, "MODEL": "scripted", "CONTEXT_WINDOW": "16000"}.items():
        monkeypatch.setenv(f"RANTS_MODELS__GENERATOR__{name}", value)


def test_a_better_program_is_reported_and_saved(
    backend: ScriptedBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None
) -> None:
    def script(body: dict[str, object]) -> Reply:
        """Its first way works where it was told to; it tells itself when it is asked to reflect."""
        said = json.dumps(body["messages"])
        if "current_instruction" in said:
            return Reply(['{"new_instruction": "Grep for digits."}'])
        found = "print(context) or re.findall(r'is (\\d+)', context)[0]"
        told = "Grep for digits." in said
        return Reply([f"```python\nimport re\nSUBMIT({found})\n```" if told else "```python\nSUBMIT('?')\n```"])

    backend.script = script
    variables(backend, monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = (
        "optimize explore --benchmark s-niah --tokens 300 --optimizer gepa --train 4 --dev 4 --test 4 --out a/b.json"
    )
    done = CliRunner().invoke(app, [*words.split(), "--out", "a/b.json", "--model", "other", "--budget-calls", "40"])
    assert done.exit_code == 0, done.output
    assert "dev    before: 0 of 4 right (0 to 49 %), score 0.00" in done.stdout
    assert "test   before: 0 of 4 right" in done.stdout
    assert "rlm.program" in done.stdout
    assert {call.body["model"] for call in backend.calls} == {"other"}
    saved = json.loads(Path("a/b.json").read_text())
    assert saved["predictors"]["explore.write"]["instructions"] == "Grep for digits."
    assert saved["made_by"]["benchmark"] == "s-niah"
    monkeypatch.setenv("RANTS_RLM__PROGRAM", "a/b.json")
    again = CliRunner().invoke(app, [*words.split(), "--out", "a/b.json", "--work", "c", "--budget-calls", "40"])
    assert again.exit_code == 0, again.output
    assert "dev    before:" not in again.stdout
    assert "Nothing was better than what is there, so nothing was saved as a/b.json." in again.stdout


def test_what_there_is_not_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["optimize", "explore", "--benchmark", "none", "--out", "a.json"])
    assert done.exit_code == 2
    assert "s-niah" in done.output
    done = CliRunner().invoke(app, ["optimize", "compile-tools", "--benchmark", "s-niah", "--out", "a.json"])
    assert isinstance(done.exception, ConfigurationError)
