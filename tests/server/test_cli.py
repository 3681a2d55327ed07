"""The `rants` command, as a person types it."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs.backends.catalogue import BUNDLED, CATALOGUE, Weights, resolve
from server.cli import app
from tests.hub import Hub
from tests.support import command


def rants(
    *arguments: str, folder: Path, variables: Mapping[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in `folder`, with no configuration but `variables`."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **(variables or {})}
    return command(*arguments, folder=folder, environment=environment, typed=typed)


@pytest.fixture
def at_model(backend: ScriptedBackend) -> dict[str, str]:
    return {"RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url, "RANTS_MODELS__GENERATOR__MODEL": "scripted"}


def test_ask_answers_about_files_and_what_is_typed(
    tmp_path: Path, backend: ScriptedBackend, at_model: dict[str, str]
) -> None:
    (tmp_path / "a.txt").write_text("The code is 4711.")
    done = rants(
        *("ask", "What is it?", "--context", "a.txt", "--context", "-"),
        folder=tmp_path,
        variables=at_model,
        typed="It is secret.",
    )
    assert (done.returncode, done.stdout) == (0, "Hello there.\n"), done.stderr
    asked = backend.calls[0].body["messages"][-1]["content"]
    assert asked == "The code is 4711.\n\nIt is secret.\n\nWhat is it?"


def test_ask_says_when_the_answer_was_cut(tmp_path: Path, backend: ScriptedBackend, at_model: dict[str, str]) -> None:
    backend.script = in_turn(Reply(["Half of"], finish_reason="length"))
    done = rants("ask", "Tell me.", folder=tmp_path, variables=at_model)
    assert done.stdout.startswith("Half of")
    assert "cut" in done.stderr


def test_ask_explores_what_is_too_long_and_shows_it_where_asked(
    tmp_path: Path, backend: ScriptedBackend, at_model: dict[str, str]
) -> None:
    (tmp_path / "long.txt").write_text("Nothing at all. " * 5000 + "The code is 4711.")
    variables = {**at_model, "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000"}
    answers = []
    for more in ([], ["--trace"]):
        backend.script = in_turn(Reply(["```python\nSUBMIT(peek(-5)[:4])\n```"]))
        answers.append(
            rants("ask", "What is it?", "--context", "long.txt", *more, folder=tmp_path, variables=variables)
        )
    plain, traced = answers
    assert (plain.stdout, plain.stderr) == ("4711\n", "")
    assert traced.stdout == "4711\n"
    assert "? What is it?" in traced.stderr
    assert "  SUBMIT(peek(-5)[:4])" in traced.stderr
    assert "= submitted: 4711" in traced.stderr


def test_ask_uses_the_embedded_model_by_itself(tmp_path: Path) -> None:
    done = rants("ask", "What is the capital of France?", folder=tmp_path)
    assert done.stdout.strip(), done.stderr


def test_what_goes_wrong_is_one_sentence(tmp_path: Path) -> None:
    for arguments, variables, words in (
        (("ask", "Hi"), {"RANTS_MODELS__GENERATOR__BASE_URL": "http://127.0.0.1:1/v1"}, "cannot reach"),
        (("ask", "Hi"), {"RANTS_MODELS__GENERATOR__MODEL": "/no/such.gguf"}, "no file /no/such.gguf"),
        (("ask", "Hi", "--context", "missing.txt"), {}, "missing.txt"),
        (("serve",), {"RANTS_STATE__SQLITE_PATH": "/proc/x/y"}, "/proc/x"),
        (("serve",), {"RANTS_SERVER__PROT": "1"}, "server.prot (RANTS_SERVER__PROT): no such key"),
    ):
        done = rants(*arguments, folder=tmp_path, variables=variables)
        assert done.returncode != 0
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_doctor_finds_everything_well(tmp_path: Path, at_model: dict[str, str]) -> None:
    done = rants("doctor", folder=tmp_path, variables=at_model)
    assert (done.returncode, done.stdout.count("ok ")) == (0, 4), done.stdout
    assert "environment jail" in done.stdout


def test_doctor_says_what_to_mend(tmp_path: Path) -> None:
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": "http://127.0.0.1:1/v1",
        "RANTS_MODELS__GENERATOR__FALLBACKS__0__BASE_URL": "http://me:password@127.0.0.1:2/v1",
        "RANTS_STATE__SQLITE_PATH": "/proc/x/y",
        "RANTS_RESILIENCE__MAX_RETRIES": "0",
    }
    done = rants("doctor", folder=tmp_path, variables=variables)
    assert done.returncode == 1
    assert "RANTS_STATE__SQLITE_PATH" in done.stdout
    assert "models.generator.base_url" in done.stdout
    assert "models.generator.fallbacks[0].base_url" in done.stdout
    assert "cannot reach http://127.0.0.1:2/v1" in done.stdout.replace("\n", " ")
    assert "password" not in done.stdout


def test_pulled_weights_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    content = resolve(BUNDLED).read_bytes()
    weights = Weights(
        repo="Maker/Small-GGUF",
        file="small.gguf",
        revision="0123456789abcdef0123456789abcdef01234567",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        context_window=8192,
        license="Apache-2.0",
        description="A small one.",
    )
    monkeypatch.setitem(CATALOGUE, "small", weights)
    assert "A small one." in CliRunner().invoke(app, ["pull"]).output
    with Hub(weights, content) as hub:
        assert CliRunner().invoke(app, ["pull", "small", "--endpoint", hub.endpoint]).exit_code == 0
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__MODEL", "small")
    monkeypatch.setenv("RANTS_MODELS__GENERATOR__PARAMETERS", '{"temperature": 0, "max_tokens": 12}')
    answered = CliRunner().invoke(app, ["ask", "What is the capital of France?"])
    assert answered.exit_code == 0
