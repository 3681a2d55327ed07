"""A conversation beyond the generator's window is explored, and its client sees one ordinary answer, over both APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, WAYS, Asking, ServerProcess, eventually, response_events, running

SECRET = "The code is 4711."
LONG = f"{'Nothing of note was said. ' * 4000}{SECRET} {'Nothing at all. ' * 4000}\n\nWhat is the code?"
LOOK = "Let me look.\n```python\nfound = grep('the code is')\nprint(len(found), llm_query('Which code?'))\n```"
SUBMIT = "```python\nimport re\nSUBMIT('It is ' + re.search(r'code is (\\d+)', found[0])[1] + '.')\n```"


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server whose generator has a small window, and which soon says that it is alive."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
        "RANTS_RLM__RANTS_ONE__MAX_ITERATIONS": "3",
        "RANTS_SERVER__KEEP_ALIVE_SECONDS": "0.1",
    }
    with running(tmp_path_factory.mktemp("explorer"), variables) as process:
        yield process


@pytest.fixture
def sdk(explorer: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=explorer.base_url, api_key="any", max_retries=0, timeout=60) as client:
        yield client


def root(*codes: str, sub_lm_delay: float = 0.0) -> Any:
    """A root LM that writes these codes, one a turn, and a sub-LM that knows."""

    def script(body: dict[str, Any]) -> Reply:
        messages = body["messages"]
        if messages[-1]["content"] == "Which code?":
            return Reply(["4711"], usage=usage(5, 1), first_delay=sub_lm_delay)
        if "What was found:" in messages[-1]["content"]:
            return Reply(["The best so far."], usage=usage(100, 4))
        after = next(index for index, message in enumerate(messages) if "What is the code?" in message["content"])
        turn = sum(message["role"] == "assistant" for message in messages[after:])
        return Reply([codes[turn]], usage=usage(1000, 20))

    return script


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_conversation_beyond_the_window_is_explored(sdk: OpenAI, backend: ScriptedBackend, way: Asking) -> None:
    backend.script = root(LOOK, SUBMIT)
    answer = way.ask(sdk, LONG)
    assert (answer.text, answer.ended) == ("It is 4711.", "stop")
    assert answer.usage == (1000 + 5 + 1000, 20 + 1 + 20)
    longest = max(len(call.raw) for call in backend.calls)
    assert longest < 8000 * 4, "the context is not in the prompt"
    assert len(backend.calls) == 3


def test_a_client_never_sees_the_exploration(sdk: OpenAI, explorer: ServerProcess, backend: ScriptedBackend) -> None:
    backend.script = root(LOOK, SUBMIT)
    asked = {"model": MODEL, "input": LONG, "stream": True}
    with httpx2.stream("POST", f"{explorer.base_url}/responses", json=asked, timeout=60) as answer:
        said = json.dumps(response_events(answer))
    assert "It is 4711." in said
    for hidden in ("Let me look", "grep(", "python", "Budget left", "Which code?"):
        assert hidden not in said


def test_a_stream_says_that_it_is_alive_while_the_context_is_explored(
    explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = root(LOOK, SUBMIT, sub_lm_delay=0.5)
    asked = {"model": MODEL, "input": LONG, "stream": True}
    with httpx2.stream("POST", f"{explorer.base_url}/responses", json=asked, timeout=60) as answer:
        kinds = [event["type"] for event in response_events(answer)]
    assert kinds.count("response.in_progress") > 2
    assert kinds[-1] == "response.completed"


def test_an_answer_that_the_budget_ended_early_is_marked(sdk: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = root(LOOK, LOOK, LOOK)
    response = sdk.responses.create(model=MODEL, input=LONG)
    assert (response.status, response.output_text) == ("completed", "The best so far.")
    assert response.to_dict()["rants"] == {"stopped_by": "budget_iterations"}
    assert sdk.responses.retrieve(response.id).to_dict()["rants"] == {"stopped_by": "budget_iterations"}
    chat = sdk.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": LONG}])
    assert (chat.choices[0].finish_reason, chat.choices[0].message.content) == ("stop", "The best so far.")
    assert chat.to_dict()["rants"] == {"stopped_by": "budget_iterations"}
    backend.script = root(LOOK, SUBMIT)
    assert "rants" not in sdk.responses.create(model=MODEL, input=LONG).to_dict()


def kinds_of(server: ServerProcess, run: str) -> list[str]:
    """What is recorded of a run."""
    statement = "SELECT json_extract(body, '$.kind') FROM event WHERE run = ? ORDER BY number"
    return [kind for (kind,) in server.rows(statement, run)]


def test_what_was_done_is_recorded_and_goes_with_the_response(
    sdk: OpenAI, explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = root(LOOK, SUBMIT)
    response = sdk.responses.create(model=MODEL, input=LONG)
    turn = ["code_written", "model_called", "code_ran"]
    assert kinds_of(explorer, response.id) == ["session_opened", *turn, "code_written", "code_ran"]
    sdk.responses.delete(response.id)
    assert kinds_of(explorer, response.id) == []


def test_nothing_is_recorded_of_what_is_not_to_be_stored(
    sdk: OpenAI, explorer: ServerProcess, backend: ScriptedBackend
) -> None:
    backend.script = root(LOOK, SUBMIT)
    before = explorer.rows("SELECT count(*) FROM event")
    assert sdk.responses.create(model=MODEL, input=LONG, store=False).output_text == "It is 4711."
    assert explorer.rows("SELECT count(*) FROM event") == before


def test_who_hangs_up_ends_the_exploration(explorer: ServerProcess, backend: ScriptedBackend) -> None:
    backend.script = root(LOOK, sub_lm_delay=60)
    asked = {"model": MODEL, "input": LONG, "stream": True}
    with httpx2.stream("POST", f"{explorer.base_url}/responses", json=asked, timeout=60) as answer:
        for _ in answer.iter_lines():
            if len(backend.calls) == 2:
                break
    eventually(lambda: backend.calls[-1].hung_up)
    statement = "SELECT status FROM run ORDER BY created_at DESC LIMIT 1"
    eventually(lambda: explorer.rows(statement) == [("cancelled",)])


def test_a_background_exploration_can_be_cancelled(sdk: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = root(LOOK, sub_lm_delay=60)
    response = sdk.responses.create(model=MODEL, input=LONG, background=True)
    eventually(lambda: len(backend.calls) == 2)
    cancelled = sdk.responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert cancelled.usage is not None
    assert cancelled.usage.input_tokens == 1000, "what was spent is told"
    eventually(lambda: backend.calls[-1].hung_up)


def test_the_next_turn_of_an_explored_conversation_goes_on(sdk: OpenAI, backend: ScriptedBackend) -> None:
    backend.script = root(LOOK, SUBMIT)
    first = sdk.responses.create(model=MODEL, input=LONG)
    backend.script = in_turn(Reply(["```python\nSUBMIT(len(context))\n```"]))
    second = sdk.responses.create(model=MODEL, input="Who spoke?", previous_response_id=first.id)
    text = LONG.removesuffix("What is the code?").rstrip()
    assert second.output_text == str(len(text)), "its question, and the two short messages, are in the prompt"
    shown = [message["content"] for message in backend.calls[-1].body["messages"]]
    assert "```python\nSUBMIT('It is 4711.')\n```" in shown
    assert any("What is the code?" in text for text in shown)
