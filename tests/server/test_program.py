"""A server with a program: what was optimised reaches the model; one that does not fit is told before anybody asks."""

from __future__ import annotations

import json
from pathlib import Path

import dspy
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs import RANTS, save_program
from tests.support import MODEL, ServerProcess, command, running


@pytest.fixture
def program(tmp_path: Path) -> Path:
    rants = RANTS()
    write = rants.explore.write
    write.signature = write.signature.with_instructions("Read the ledger first.")
    question = [{"role": "user", "content": "How many geese were sold in Ulm?"}]
    demo = {"messages": question, "context": "A str of geese.", "budget": "Much.", "reasoning": "", "code": "SUBMIT(3)"}
    write.demos = [dspy.Example(**demo)]
    path = tmp_path / "programs" / "geese.json"
    save_program(rants, path, predictors=["explore.write"], made_by={"optimizer": "hand"})
    return path


def variables(backend: ScriptedBackend, program: Path) -> dict[str, str]:
    return {
        "RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_RLM__RANTS_ONE__MODE": "explore",
        "RANTS_RLM__PROGRAM": str(program),
    }


def test_what_was_optimised_reaches_the_model(backend: ScriptedBackend, tmp_path: Path, program: Path) -> None:
    backend.script = in_turn(Reply(["```python\nSUBMIT('Two.')\n```"]))
    asked = variables(backend, program.relative_to(tmp_path))
    with running(tmp_path, asked) as server:
        assert "program: programs/geese.json" in server.log
        with OpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
            said = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "How many?"}])
    assert said.choices[0].message.content == "Two."
    system, question, code, *_ = (message["content"] for message in backend.calls[0].body["messages"])
    assert system == "Read the ledger first."
    assert question.startswith("How many geese were sold in Ulm?")
    assert "SUBMIT(3)" in code
    assert len(backend.calls[0].body["messages"]) == 4


def test_a_program_that_does_not_fit_is_told_by_every_command(
    backend: ScriptedBackend, tmp_path: Path, program: Path
) -> None:
    environment = ServerProcess(tmp_path, variables(backend, program)).environment
    told = command("doctor", folder=tmp_path, environment=environment).stdout.replace("\n", "")
    assert "geese.json: explore.write" in told
    said = json.loads(program.read_text())
    said["predictors"]["explore.write"]["demos"][0].pop("code")
    program.write_text(json.dumps(said))
    for words in (("serve", "--port", "0"), ("ask", "How many?")):
        done = command(*words, folder=tmp_path, environment=environment)
        assert done.returncode == 1
        assert "explore.write: demos[0] lacks the field 'code'" in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr
    done = command("doctor", folder=tmp_path, environment=environment)
    assert done.returncode == 1
    assert "lacks the field 'code'" in done.stdout
    assert "RANTS_RLM__PROGRAM" in done.stdout
    assert backend.calls == []
