"""Each fault of a backend, in each role, asked in all four ways at once: the right answer or the right error.

Afterwards nothing hangs, every run is written down as it ended, and the next request works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, WAYS, Asking, ServerProcess, running, sse

ROLES = ("generator", "tool_compiler", "code_interpreter", "sub_lm", "vision")
LONG = "Nothing of note was said. " * 2000
CODE = """```python
try:
    said = llm_query("Which code?")
except Exception:
    said = "Nobody answers."
SUBMIT(said)
```"""
GOOD = {
    "generator": "Good day.",
    "tool_compiler": json.dumps({"tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]}),
    "code_interpreter": CODE,
    "sub_lm": "It is 4711.",
    "vision": "A red cat.",
}
ANSWERS = dict.fromkeys(ROLES, "Good day.") | {
    "tool_compiler": "weather",
    "code_interpreter": "It is 4711.",
    "sub_lm": "It is 4711.",
}
WEATHER = {
    "name": "weather",
    "description": "Tells the weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
LONGEST = 100_000  # bytes of a reply
COUNTING = " ".join(map(str, range(2000))) + " "  # no phrase that comes again: a loop would be cut off
PATIENCE = {
    "RANTS_RESILIENCE__MAX_RETRIES": "1",
    "RANTS_RESILIENCE__BACKOFF_SECONDS": "0.01",
    "RANTS_RESILIENCE__MAX_BACKOFF_SECONDS": "0.1",
    "RANTS_RESILIENCE__READ_TIMEOUT_SECONDS": "1.5",
    "RANTS_RESILIENCE__BREAKER_FAILURES": "0",
    "RANTS_RESILIENCE__MAX_REPLY_BYTES": str(LONGEST),
    "RANTS_TOOLS__BASH__ENABLED": "false",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What a backend does, given the words that it should say; and what a client is told: status, code, Retry-After."""

    reply: Callable[[str], Reply] | None
    told: tuple[int, str | None, str | None]


FAULTS = {
    "slow": Fault(lambda words: Reply([words], first_delay=0.3, usage=usage(9, 3)), (200, None, None)),
    "hung": Fault(lambda words: Reply(fault="hang"), (504, "backend_timeout", None)),
    "hung-after-a-word": Fault(lambda words: Reply(["", words], delay=60), (504, "backend_timeout", None)),
    "refused": Fault(None, (503, "backend_unavailable", None)),
    "dropped": Fault(lambda words: Reply(fault="drop"), (503, "backend_unavailable", None)),
    "429": Fault(lambda words: Reply(status=429), (503, "backend_unavailable", None)),
    "429-later": Fault(
        lambda words: Reply(status=429, headers={"Retry-After": "7"}), (503, "backend_unavailable", "7")
    ),
    "500": Fault(lambda words: Reply(status=500), (503, "backend_unavailable", None)),
    "500-endless": Fault(
        lambda words: Reply(status=500, error={"message": "\ud83c\0" * LONGEST}), (503, "backend_unavailable", None)
    ),
    "cut": Fault(lambda words: Reply([words], fault="cut"), (502, "bad_reply", None)),
    "garbage": Fault(lambda words: Reply(fault="garbage"), (503, "backend_unavailable", None)),
    "no-json": Fault(lambda words: Reply(fault="malformed"), (502, "bad_reply", None)),
    "deep-json": Fault(lambda words: Reply(fault="malformed", event="[" * 50_000), (502, "bad_reply", None)),
    "wrong-json": Fault(
        lambda words: Reply(fault="malformed", event='{"choices": [{"finish_reason": [{}]}]}'), (502, "bad_reply", None)
    ),
    "wrong-usage": Fault(lambda words: Reply([words], usage={"prompt_tokens": 10**30}), (502, "bad_reply", None)),
    "endless": Fault(lambda words: Reply([COUNTING], fault="endless"), (502, "bad_reply", None)),
    "huge": Fault(lambda words: Reply(["x" * 2 * LONGEST], streamed=False), (502, "bad_reply", None)),
}
FAST = ("refused", "429-later", "cut", "endless")
"""The faults that the fast suite tries with every role; the others, which meet the same code, with the generator."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told. `broken`: the error came in a stream that had begun with this text."""

    status: int
    text: str = ""
    code: str | None = None
    wait: str | None = None
    broken: bool = False


@pytest.fixture(scope="module")
def backends() -> Iterator[dict[str, ScriptedBackend]]:
    with ExitStack() as stack:
        yield {role: stack.enter_context(ScriptedBackend(in_turn(Reply()))) for role in ROLES}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, backends: dict[str, ScriptedBackend]) -> Iterator[ServerProcess]:
    with running(tmp_path_factory.mktemp("matrix"), PATIENCE | entries(backends)) as server:
        yield server


def entries(backends: dict[str, ScriptedBackend]) -> dict[str, str]:
    """The backends as the variables of a server."""
    variables = {"RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000"}
    for role, backend in backends.items():
        variables[f"RANTS_MODELS__{role.upper()}__BASE_URL"] = backend.base_url
        variables[f"RANTS_MODELS__{role.upper()}__MODEL"] = role
    return variables


@pytest.fixture(autouse=True)
def all_is_well(backends: dict[str, ScriptedBackend]) -> None:
    for role, backend in backends.items():
        backend.requests = []
        backend.script = in_turn(Reply([GOOD[role]], usage=usage(9, 3)))


_numbers = count()


def ask(server: ServerProcess, role: str, way: Asking) -> Told:
    """Ask something for which `role` is needed."""
    said = f"This is question {next(_numbers)}."  # what vision has seen is remembered
    content: Any = f"{LONG}\n\n{said}" if role in ("code_interpreter", "sub_lm") else said
    chat = way.api == "chat"
    if role == "vision":
        url = "data:image/png;base64,iVBORw0KGgo="
        image = {"type": "image_url", "image_url": {"url": url}} if chat else {"type": "input_image", "image_url": url}
        content = [{"type": "text" if chat else "input_text", "text": said}, image]
    messages = [{"role": "user", "content": content}]
    body = {"model": MODEL, "stream": way.stream, "messages" if chat else "input": messages}
    if role == "tool_compiler":
        body["tools"] = [{"type": "function", "function": WEATHER} if chat else {"type": "function", **WEATHER}]
    path = "chat/completions" if chat else "responses"
    with httpx2.stream("POST", f"{server.base_url}/{path}", json=body, timeout=30) as answer:
        if answer.status_code != 200:
            error = json.loads(answer.read())["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert error["type"] == ("invalid_request_error" if answer.status_code == 400 else "server_error")
            return Told(answer.status_code, "", error["code"], answer.headers.get("retry-after"))
        if not way.stream:
            return told(json.loads(answer.read()))
        return streamed([data for name, data in sse(answer.iter_lines()) if name != ":"])


def told(whole: dict[str, Any]) -> Told:
    """A whole answer, of either API: its text, or the name of what is to be called."""
    if "choices" in whole:
        message = whole["choices"][0]["message"]
        assert whole["usage"]["total_tokens"] > 0
        return Told(200, message["content"] or message["tool_calls"][0]["function"]["name"])
    assert whole["status"] == "completed"
    assert whole["usage"]["total_tokens"] > 0
    item = whole["output"][-1]
    return Told(200, item["name"] if item["type"] == "function_call" else item["content"][0]["text"])


def streamed(events: list[Any]) -> Told:
    """A stream of either API."""
    last = events[-1]
    if last == "[DONE]" or "type" not in last:
        deltas = [choice["delta"] for event in events[:-1] for choice in event.get("choices", ())]
        text = "".join(delta.get("content") or "" for delta in deltas)
        names = [call["function"].get("name", "") for delta in deltas for call in delta.get("tool_calls", ())]
        if last == "[DONE]":
            return Told(200, text or "".join(names))
        return Told(200, text, last["error"]["code"], broken=True)
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    if last["type"] == "response.completed":
        return told(last["response"])
    assert last["type"] == "response.failed"
    return Told(200, text, last["response"]["error"]["code"], broken=True)


def expected(role: str, name: str, way: Asking) -> Told:
    """What the matrix says."""
    fault = FAULTS[name]
    status, code, wait = fault.told
    if status == 200:
        return Told(200, ANSWERS[role])
    if role == "sub_lm":
        return Told(200, "Nobody answers.")  # the code has seen the failure, and gone on
    if role == "generator" and way.stream and name in ("cut", "wrong-usage"):
        return Told(200, GOOD[role], code if way.api == "chat" else "server_error", broken=True)
    return Told(status, "", code, wait)


CASES = [
    pytest.param(role, name, marks=() if role == "generator" or name in FAST else pytest.mark.slow)
    for role in ROLES
    for name in FAULTS
]


@pytest.mark.parametrize(("role", "name"), CASES)
def test_a_fault_ends_in_the_right_answer_or_the_right_error(
    gateway: ServerProcess, backends: dict[str, ScriptedBackend], role: str, name: str
) -> None:
    reply = FAULTS[name].reply
    if role == "tool_compiler":
        backends["generator"].script = in_turn(Reply(["TOOL_INTENT: tell me how the weather is in Rome"]))
    good = backends[role].script
    runs = ended(gateway)
    if reply is not None:
        backends[role].script = in_turn(reply(GOOD[role]))
    with backends[role].away() if reply is None else nullcontext(), ThreadPoolExecutor(len(WAYS)) as threads:
        answers = list(threads.map(lambda way: ask(gateway, role, way), WAYS))
    for way, answer in zip(WAYS, answers, strict=True):
        if name == "endless" and answer.broken:
            assert answer.text.startswith("0 1 2 ")
            assert len(answer.text) < LONGEST
            assert way.stream
            continue
        assert answer == expected(role, name, way), str(way)
    backends[role].script = good
    assert ask(gateway, role, WAYS[0]) == Told(200, ANSWERS[role]), "the next request works"
    assert ended(gateway) == runs + len(WAYS) + 1


def ended(server: ServerProcess) -> int:
    """How many runs are written down: none is open, and of each there is what it has cost."""
    runs = server.rows("SELECT id, status FROM run WHERE completed_at IS NOT NULL ORDER BY id")
    assert server.rows("SELECT count(*) FROM run") == [(len(runs),)]
    assert server.rows("SELECT run, outcome FROM usage ORDER BY run") == runs
    assert {status for _, status in runs} <= {"completed", "failed"}
    return len(runs)


@pytest.mark.slow
def test_a_name_that_nobody_knows_is_a_backend_that_is_away(
    tmp_path: Path, backends: dict[str, ScriptedBackend]
) -> None:
    for number, lost in enumerate([("generator", "code_interpreter"), ("tool_compiler", "sub_lm", "vision")]):
        variables = PATIENCE | entries(backends)
        for role in lost:
            variables[f"RANTS_MODELS__{role.upper()}__BASE_URL"] = "http://backend.invalid/v1"
        folder = tmp_path / str(number)
        folder.mkdir()
        with running(folder, variables) as server:
            for role in lost:
                said = "TOOL_INTENT: tell me how the weather is in Rome" if role == "tool_compiler" else "Good day."
                backends["generator"].script = in_turn(Reply([said]))
                for way in WAYS:
                    assert ask(server, role, way) == expected(role, "refused", way), (role, str(way))
            assert ended(server) == len(lost) * len(WAYS)
