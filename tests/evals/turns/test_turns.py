"""Conversations with the desk over a real server: who does what is right scores, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from evals.turns import turns
from evals.turns.client import MOST_REPLIES, play
from evals.turns.conversation import Right, Scenario
from evals.turns.results import Played
from evals.turns.scenarios import make
from programs.errors import BackendUnavailable, ConfigurationError
from tests.support import MODEL, ServerProcess, running


@pytest.fixture(scope="module")
def backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(in_turn(Reply(["Hello."]))) as backend:
        yield backend


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, backend: ScriptedBackend) -> Iterator[ServerProcess]:
    variables = {"RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url}
    with running(tmp_path_factory.mktemp("turns"), variables) as server:
        yield server


def calls(right: Right) -> Reply:
    return Reply([f"TOOL_INTENT: call {right.name} with {json.dumps(right.arguments)}"])


def oracle(scenarios: Sequence[Scenario], *, left_out: Sequence[str] = (), quiet: bool = False) -> list[Reply]:
    """All that who knows everything says; tools that are left out are not called."""
    replies = []
    for scenario in scenarios:
        for message in scenario.messages:
            replies += [calls(right) for right in message.calls if right.name not in left_out]
            replies.append(Reply(["Done." if quiet else f"So: {', '.join(map(str, message.facts))}."]))
    return replies


async def played(server: ServerProcess, backend: ScriptedBackend, seed: int, replies: Sequence[Reply]) -> Played:
    backend.script = in_turn(*replies)
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0) as client:
        return await play(make(seed), client, MODEL, "given", "scripted")


def results(folder: Path) -> list[Played]:
    return [Played.model_validate_json(line) for line in (folder / "results.jsonl").read_text().splitlines()]


async def test_the_oracle_is_always_right_and_is_asked_once(
    server: ServerProcess, backend: ScriptedBackend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenarios = [make(seed) for seed in range(12)]
    backend.script = in_turn(*oracle(scenarios))
    await turns(out=tmp_path, url=server.base_url, model=MODEL, count=8)
    before = len(backend.calls)
    await turns(out=tmp_path, url=server.base_url, model=MODEL, count=12)
    assert [one.seed for one in results(tmp_path)] == list(range(12))
    for scenario, one in zip(scenarios, results(tmp_path), strict=True):
        made = sum(len(message.calls) for message in scenario.messages)
        assert (one.right, one.missing, one.failure, one.invalid) == (True, (), None, 0)
        assert (one.calls, one.replies) == (made, made + len(scenario.messages))
    after = sum(len(message.calls) + 1 for scenario in scenarios[8:] for message in scenario.messages)
    assert len(backend.calls) - before == after
    assert capsys.readouterr().out.count("100 %") == 4


async def test_who_does_nothing_is_never_right(server: ServerProcess, backend: ScriptedBackend, tmp_path: Path) -> None:
    backend.script = in_turn(Reply(["I am sorry, I cannot do that."]))
    await turns(out=tmp_path, url=server.base_url, count=12, seed=20)
    assert [one.right for one in results(tmp_path)] == [False] * 12
    assert all(len(one.missing) >= len(make(one.seed).messages) and one.calls == 0 for one in results(tmp_path))
    assert any(one.state for one in results(tmp_path))  # where nothing may be done, the facts tell


def seed_with(*names: str) -> int:
    """A scenario in which these are called."""
    return next(
        seed
        for seed in range(1000)
        if set(names) <= {right.name for message in make(seed).messages for right in message.calls}
    )


async def test_a_state_and_the_facts_count_apart(server: ServerProcess, backend: ScriptedBackend) -> None:
    seed = seed_with("lend", "pay")
    one = await played(server, backend, seed, oracle([make(seed)], left_out=["pay"]))
    assert (one.right, one.state, one.missing) == (False, False, ())
    one = await played(server, backend, seed, oracle([make(seed)], quiet=True))
    assert (one.right, one.state) == (False, True)
    assert len(one.missing) == sum(len(message.facts) for message in make(seed).messages)


async def test_what_a_rule_forbids_can_be_done_and_is_wrong(server: ServerProcess, backend: ScriptedBackend) -> None:
    scenario = make(seed := seed_with("lend", "pay"))
    at = next(i for i, message in enumerate(scenario.messages) if message.calls[0].name == "pay")
    lend = next(right for right in scenario.messages[at].calls if right.name == "lend")
    told = oracle([scenario])
    end = sum(len(message.calls) + 1 for message in scenario.messages[:at])
    # Lends before it is paid; what was to be lent afterwards is lent already.
    others = [reply for reply in told[end:] if reply.pieces != calls(lend).pieces]
    one = await played(server, backend, seed, [*told[: end - 1], calls(lend), told[end - 1], *others])
    assert one.missing == ()
    assert one.state  # in the end the same: paid, and lent
    one = await played(server, backend, seed, [*told[: end - 1], calls(lend), *told[end - 1 :]])
    assert (one.right, one.state) == (False, False)


async def test_what_the_desk_cannot_do_is_told(server: ServerProcess, backend: ScriptedBackend) -> None:
    one = await played(server, backend, 0, [calls(Right("show_title", {"title_id": "T1"})), *oracle([make(0)])])
    assert (one.right, one.invalid) == (True, 0)
    told = [message["content"] for message in one.messages if message["role"] == "tool"]
    assert told[0] == '{"error": "there is no title \'T1\'"}'


async def test_calls_that_do_not_fit_are_counted_and_told() -> None:
    """RANTS lets none of these through: a server that is not RANTS."""
    written = [("lend", '{"member_id": "M1", "title_id": "T1", "branch": "Nowhere"}'), ("lend", "{"), ("burn", "{}")]
    made = [
        {"id": str(number), "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(written)
    ]

    def answer(request: httpx2.Request) -> httpx2.Response:
        if json.loads(request.content)["messages"][-1]["role"] == "tool":
            message: dict[str, Any] = {"role": "assistant", "content": "Well."}
        else:
            message = {"role": "assistant", "content": None, "tool_calls": made}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "any", "choices": [choice]}
        return httpx2.Response(200, json=whole)

    transport = httpx2.MockTransport(answer)
    async with AsyncOpenAI(
        base_url="http://any/v1", api_key="any", http_client=httpx2.AsyncClient(transport=transport)
    ) as client:
        one = await play(make(0), client, "any", "given", "any")
    messages = len(make(0).messages)
    assert (one.calls, one.invalid, one.replies, one.failure) == (3 * messages, 3 * messages, 2 * messages, None)
    told = [json.loads(message["content"])["error"] for message in one.messages if message["role"] == "tool"]
    assert "Nowhere" in told[0]
    assert told[2] == "there is no tool 'burn'"
    assert not one.right


async def test_who_calls_for_ever_is_stopped(server: ServerProcess, backend: ScriptedBackend) -> None:
    one = await played(server, backend, 0, [calls(Right("find_titles", {"words": "The"}))])
    assert (one.right, one.failure) == (False, f"no answer after {MOST_REPLIES} replies")
    assert one.calls == one.replies == MOST_REPLIES


async def test_who_is_not_there_or_not_right_is_said(server: ServerProcess, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="nobody listens at http://127"):
        await turns(out=tmp_path, url="http://127.0.0.1:9/v1", model="any")
    with pytest.raises(ConfigurationError, match=r"no-such.*see --api-key and --model"):
        await turns(out=tmp_path, url=server.base_url, model="no-such")
    assert not (tmp_path / "results.jsonl").exists()
    (tmp_path / "results.jsonl").write_text("{}\n")
    with pytest.raises(ConfigurationError, match="line 1 is no result: choose another --out"):
        await turns(out=tmp_path, url=server.base_url)
