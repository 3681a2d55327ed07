"""Several backends for one role: who is asked, who answers, and what is told when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from dspy.lm15 import Config, ImagePart, Message, Request, StreamDeltaEvent, StreamStartEvent, TextPart
from dspy.utils.exceptions import ContextWindowExceededError, LMError

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from programs import RANTS, Backends
from programs.backends import calling, listening
from programs.backends.engine import StreamEvent
from programs.errors import BackendUnavailable
from programs.events import RunDone, TextDelta
from programs.settings import BudgetSettings, LoopSettings, ModelSettings, ModelsSettings, ResilienceSettings
from programs.transcript import Session

GOOD = Reply(["Good ", "day."], usage=usage(5, 2))
HELLO = Request(model="m0", messages=(Message.user("Hello?"),))


@pytest.fixture
def three() -> Iterator[list[ScriptedBackend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(ScriptedBackend(in_turn(GOOD))) for _ in range(3)]


@asynccontextmanager
async def bound(servers: Sequence[ScriptedBackend], *more: dict[str, Any], **patience: Any) -> AsyncIterator[Backends]:
    """The servers as the generator and its fallbacks; `more` is laid over their entries."""
    entries = [
        ModelSettings.model_validate(
            {"base_url": server.base_url, "model": f"m{n}", **(more[n] if n < len(more) else {})}
        )
        for n, server in enumerate(servers)
    ]
    resilience = ResilienceSettings(
        **{"max_retries": 0, "backoff_seconds": 0.001, "read_timeout_seconds": 0.2, **patience}
    )
    generator = entries[0].model_copy(update={"fallbacks": tuple(entries[1:])})
    backends = Backends(ModelsSettings(generator=generator), resilience)
    try:
        yield backends
    finally:
        await backends.aclose()


async def asked(backends: Backends, request: Request = HELLO) -> tuple[str, str]:
    async with asyncio.timeout(10):
        reply = await backends.lm("generator").acall(request)
    return reply.text, reply.model


def calls(servers: Sequence[ScriptedBackend]) -> list[int]:
    return [len(server.calls) for server in servers]


FAILURES = {
    "refusing": Reply(status=500),
    "busy": Reply(status=429, headers={"Retry-After": "60"}),
    "locked": Reply(status=401),
    "without-the-model": Reply(status=404),
    "dropping": Reply(fault="drop"),
    "garbage": Reply(fault="garbage"),
    "silent": Reply(fault="hang"),
    "malformed": Reply(fault="malformed"),
    "cut-while-thinking": Reply(reasoning=["hm"], fault="cut"),
    "cut": Reply(["Half of"], fault="cut"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_next_is_asked_when_one_has_failed(three: list[ScriptedBackend], failure: str) -> None:
    three[0].script = in_turn(FAILURES[failure])
    three[1].script = in_turn(FAILURES[failure])
    async with bound(three, max_retries=1, max_backoff_seconds=1) as backends:
        assert await asked(backends) == ("Good day.", "m2")
    tries = 2 if failure in ("refusing", "dropping", "garbage") else 1
    assert calls(three) == [tries, tries, 1], "each has its retries first"


async def test_while_the_first_answers_nobody_else_is_asked(three: list[ScriptedBackend]) -> None:
    async with bound(three) as backends:
        assert await asked(backends) == ("Good day.", "m0")
    assert calls(three) == [1, 0, 0]


@pytest.mark.parametrize("failure", ["refusing", "cut-while-thinking"])
async def test_who_listens_hears_one_reply(three: list[ScriptedBackend], failure: str) -> None:
    three[0].script = in_turn(FAILURES[failure])
    heard: list[StreamEvent] = []

    def hear(event: StreamEvent) -> bool:
        heard.append(event)
        return False

    async with bound(three) as backends:
        with listening(hear):
            assert await asked(backends) == ("Good day.", "m1")
    assert sum(isinstance(event, StreamStartEvent) for event in heard) == 1
    assert [event.delta.text for event in heard if isinstance(event, StreamDeltaEvent)] == ["Good ", "day."]


async def test_text_that_was_heard_is_not_doubled(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(FAILURES["cut"])
    async with bound(three) as backends:
        with listening(lambda event: False), pytest.raises(LMError, match="cut off"):
            await asked(backends)
    assert calls(three) == [1, 0, 0]


async def test_a_backend_that_is_left_alone_is_passed_over(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(FAILURES["refusing"])
    async with bound(three, breaker_failures=2) as backends:
        for _ in range(5):
            assert await asked(backends) == ("Good day.", "m1")
        (look,) = await backends.health()
        assert (look.breaker, [each.breaker for each in look.fallbacks]) == ("open", ["closed", "closed"])
        assert "not asked" in (look.error or "")
        assert [each.error for each in look.fallbacks] == [None, None]
    assert calls(three) == [2, 5, 0]
    assert sum(request.path.endswith("/models") for request in three[0].requests) == 0


async def test_when_all_fail_each_is_told_and_the_shortest_wait(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(Reply(status=503, error={"message": "loading"}, headers={"Retry-After": "90"}))
    three[1].script = in_turn(Reply(status=429, error={"message": "slowly"}, headers={"Retry-After": "40"}))
    three[2].script = in_turn(Reply(status=401, error={"message": "who?"}))
    async with bound(three) as backends:
        with pytest.raises(BackendUnavailable) as failed:
            await RANTS(backends).aforward(question="Hello?")
    assert str(failed.value) == "the generator backend: loading; fallback 1: slowly; fallback 2: who?"
    assert failed.value.retry_after == 40


@pytest.mark.parametrize("status", [400, 422])
async def test_what_is_wrong_with_the_request_is_wrong_everywhere(three: list[ScriptedBackend], status: int) -> None:
    three[0].script = in_turn(Reply(status=status, error={"message": "not like this"}))
    async with bound(three) as backends:
        with pytest.raises(LMError, match="not like this"):
            await asked(backends)
    assert calls(three) == [1, 0, 0]


async def test_a_prompt_that_is_too_long_for_the_first_is_too_long(three: list[ScriptedBackend]) -> None:
    too_long = {"message": "too long", "code": "context_length_exceeded"}
    three[0].script = in_turn(Reply(status=400, error=too_long))
    async with bound(three) as backends:
        with pytest.raises(ContextWindowExceededError):
            await asked(backends)
    assert calls(three) == [1, 0, 0]


async def test_a_fallback_that_cannot_hold_the_prompt_is_passed_over(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(FAILURES["refusing"])
    long = replace(HELLO, messages=(Message.user("word " * 1000),))
    async with bound(three, {}, {"context_window": 1000}) as backends:
        assert await asked(backends, long) == ("Good day.", "m2")
        assert calls(three) == [1, 0, 1]
        assert await asked(backends) == ("Good day.", "m1")


async def test_a_fallback_s_small_window_does_not_make_the_prompt_too_long(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(Reply(status=503, error={"message": "loading"}))
    three[1].script = in_turn(Reply(status=400, error={"message": "long", "code": "context_length_exceeded"}))
    long = replace(HELLO, messages=(Message.user("word " * 1000),))
    async with bound(three[:2]) as backends, bound(three[:2], {}, {"context_window": 1000}) as told:
        for each in (backends, told):
            with pytest.raises(LMError, match="loading; fallback 1: ") as failed:
                await asked(each, long)
            assert failed.value.status == 503


IMAGE = Message(role="user", parts=(TextPart(text="What is it?"), ImagePart(url="data:image/png;base64,iVBORw0KGgo=")))


async def test_a_fallback_that_lacks_what_a_request_needs_is_passed_over(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(FAILURES["refusing"])
    formatted = replace(HELLO, config=Config(response_format={"type": "json_schema", "schema": {"type": "object"}}))
    seen = replace(HELLO, messages=(IMAGE,))
    able: dict[str, Any] = {"capabilities": ["json_schema", "vision"]}
    blind: dict[str, Any] = {"capabilities": []}
    async with bound(three, able, blind, able, breaker_failures=0) as backends:
        assert await asked(backends, formatted) == ("Good day.", "m2")
        assert await asked(backends, seen) == ("Good day.", "m2")
        assert await asked(backends) == ("Good day.", "m1")
    async with bound(three, blind, blind, able) as backends:
        assert await asked(backends, seen) == ("Good day.", "m1"), "nothing is known of the first either"


async def test_a_fallback_that_does_not_tell_how_likely_tokens_are_is_not_asked_for_that(
    three: list[ScriptedBackend],
) -> None:
    three[0].script = in_turn(FAILURES["refusing"])
    tells: dict[str, Any] = {"capabilities": ["logprobs"]}
    async with bound(three[:2], tells) as backends:
        assert await asked(backends, replace(HELLO, config=Config(logprobs=20))) == ("Good day.", "m1")
    first, second = (server.calls[0].body for server in three[:2])
    assert (first["logprobs"], first["top_logprobs"]) == (True, 20)
    assert "logprobs" not in second
    assert "top_logprobs" not in second


async def test_tries_that_broke_off_are_paid_for(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(Reply(reasoning=["a" * 400], fault="cut"))
    async with bound(three[:2]) as backends:
        done = await RANTS(backends).aforward(question="Hello?")
        assert done.text == "Good day."
        assert done.usage.completion == 2 + 100
        assert done.usage.prompt > 5


LOOP = """```python
tries = 0
while True:
    tries += 1
    try:
        llm_query("Which code?")
    except Exception as error:
        if "budget" in str(error) or tries == 50:
            SUBMIT(f"{tries}: {error}")
```"""


async def test_code_that_asks_a_failing_backend_again_and_again_spends_the_budget(
    three: list[ScriptedBackend],
) -> None:
    root, sub_lm, _ = three
    root.script = in_turn(Reply([LOOP], usage=usage(100, 20)))
    sub_lm.script = in_turn(Reply(["a" * 4000], fault="cut"))  # a thousand tokens each time
    models = {
        role: ModelSettings.model_validate({"base_url": server.base_url, "model": role})
        for role, server in (("generator", root), ("sub_lm", sub_lm))
    }
    backends = Backends(ModelsSettings(**models), ResilienceSettings(max_retries=0, breaker_failures=0))
    settings = LoopSettings(mode="explore", environment="monty", budget=BudgetSettings(tokens=5000))
    try:
        done = await RANTS(backends, settings).aforward(question="Which code?", context="Nothing.")
    finally:
        await backends.aclose()
    assert done.text.startswith("6: The budget is spent: the run's 5,000 tokens are used.")
    assert len(sub_lm.calls) == 5


async def test_no_retry_waits_beyond_the_deadline(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(Reply(status=429, headers={"Retry-After": "20"}))
    async with bound(three[:1], max_retries=3) as backends:
        with calling(within=5), pytest.raises(LMError) as failed:
            await asked(backends)
        assert failed.value.retry_after == 20
        settings = LoopSettings(budget=BudgetSettings(seconds=10))
        with pytest.raises(BackendUnavailable) as ended:
            await RANTS(backends, settings).aforward(question="Hello?")
        assert ended.value.retry_after == 20
    assert calls(three) == [2, 0, 0]


async def test_a_run_over_a_fallback_is_one_run(three: list[ScriptedBackend]) -> None:
    three[0].script = in_turn(FAILURES["cut-while-thinking"])
    async with bound(three[:2]) as backends:
        events = [event async for event in RANTS(backends).run(Session.asking("s", "Hello?", None))]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Good day."
    assert isinstance(events[-1], RunDone)
    assert events[-1].outcome == "completed"


def test_a_fallback_has_no_fallbacks() -> None:
    entry = {"base_url": "http://127.0.0.1/v1"}
    with pytest.raises(ValueError, match="fallbacks of its own"):
        ModelSettings.model_validate({**entry, "fallbacks": [{**entry, "fallbacks": [entry]}]})
