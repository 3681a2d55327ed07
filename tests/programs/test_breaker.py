"""When a backend is left alone, and when it is asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

import pytest
from dspy.lm15 import (
    AuthError,
    ContextLengthError,
    InvalidRequestError,
    LM15Error,
    Message,
    RateLimitError,
    Request,
    ServerError,
    StreamAssemblyError,
    StreamDeltaEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextDelta,
    TransportError,
)
from dspy.lm15 import TimeoutError as LM15TimeoutError
from dspy.utils.exceptions import LMError

from programs.backends import Backends, listening
from programs.backends.engine import AsyncEngine, StreamEvent, calling
from programs.backends.failures import said
from programs.backends.guarded import Guarded
from programs.settings import ModelSettings, ModelsSettings, ResilienceSettings

HELLO = Request(model="m", messages=(Message.user("Hello?"),))
TEXT = StreamDeltaEvent(delta=TextDelta(text="Hello."))
DOWN = TransportError("refused")


@dataclass
class Played(AsyncEngine):
    """An engine that plays a list of events and errors, one list a call; the last one for ever."""

    plays: list[list[StreamEvent | LM15Error | asyncio.Event]]
    there: LM15Error | None = None
    calls: int = 0
    looks: int = 0
    closed: list[str] = field(default_factory=list)

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        self.calls += 1
        for each in self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]:
            if isinstance(each, LM15Error):
                raise each
            if isinstance(each, asyncio.Event):
                await each.wait()
            else:
                yield each

    async def reach(self, within: float) -> None:
        self.looks += 1
        if self.there is not None:
            raise self.there

    async def aclose(self) -> None:
        self.closed.append("closed")


GOOD: list[StreamEvent | LM15Error | asyncio.Event] = [StreamStartEvent(), TEXT, StreamEndEvent(finish_reason="stop")]


def kind(error: LM15Error) -> str:
    return type(error).__name__


def state(backend: Guarded) -> str:
    return backend.breaker.state


def guarded(engine: AsyncEngine, *, failures: int = 2, seconds: float = 30.0) -> Guarded:
    patience = ResilienceSettings(breaker_failures=failures, breaker_seconds=seconds, max_breaker_seconds=60)
    entry = ModelSettings(provider="openai", base_url="http://127.0.0.1/v1", model="m")
    return Guarded("generator", engine, entry, patience)


async def ends(backend: Guarded) -> str:
    try:
        return (await backend.complete(HELLO)).text or ""
    except LM15Error as error:
        return said(error)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass at once."""
    ahead = 0.0
    real = time.monotonic

    def passes(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr("programs.backends.breaker.time.monotonic", lambda: real() + ahead)
    return passes


@pytest.mark.parametrize(
    "error",
    [DOWN, LM15TimeoutError("silent"), ServerError("500"), StreamAssemblyError("not JSON")],
    ids=lambda error: type(error).__name__,
)
async def test_a_backend_that_fails_in_a_row_is_left_alone(error: LM15Error) -> None:
    engine = Played([[error]])
    backend = guarded(engine)
    for _ in range(2):
        assert await ends(backend) == said(error)
    with pytest.raises(ServerError, match=f"2 times in a row.*at last: {error.message}") as failed:
        await backend.complete(HELLO)
    assert 29 < (failed.value.retry_after or 0) <= 30
    assert (engine.calls, state(backend)) == (2, "open")


@pytest.mark.parametrize(
    "error",
    [InvalidRequestError("400"), AuthError("401"), ContextLengthError("long"), RateLimitError("429")],
    ids=lambda error: type(error).__name__,
)
async def test_a_refusal_is_no_failure_of_the_backend(error: LM15Error) -> None:
    engine = Played([[error]])
    backend = guarded(engine)
    for _ in range(5):
        assert await ends(backend) == said(error)
    assert (engine.calls, state(backend)) == (5, "closed")


async def test_failures_that_are_not_in_a_row_do_not_add_up() -> None:
    backend = guarded(Played([[DOWN], GOOD, [DOWN], GOOD, [DOWN], GOOD]))
    assert [await ends(backend) for _ in range(6)] == ["refused", "Hello."] * 3
    assert state(backend) == "closed"


async def test_a_breaker_that_is_switched_off_never_opens() -> None:
    engine = Played([[DOWN]])
    backend = guarded(engine, failures=0)
    assert [await ends(backend) for _ in range(20)] == ["refused"] * 20
    assert engine.calls == 20


async def test_it_is_asked_again_by_one_call_and_left_alone_for_longer_each_time(
    clock: Callable[[float], None],
) -> None:
    engine = Played([[DOWN]])
    backend = guarded(engine, seconds=20)
    for _ in range(2):
        await ends(backend)
    waits = []
    for _ in range(4):
        refusal = backend.breaker.refusal
        assert refusal is not None
        waits.append(round(refusal.retry_after or 0))
        clock(waits[-1] + 1)
        assert state(backend) == "half_open"
        assert await ends(backend) == "refused"
        assert state(backend) == "open"
    assert waits == [20, 40, 60, 60]
    assert engine.calls == 6
    clock(61)
    engine.plays = [GOOD, [DOWN]]
    assert [await ends(backend) for _ in range(2)] == ["Hello.", "refused"]
    assert state(backend) == "closed"


async def test_while_one_call_tries_the_others_fail_until_its_reply_has_begun(clock: Callable[[float], None]) -> None:
    before, after = asyncio.Event(), asyncio.Event()
    engine = Played([[DOWN], [DOWN], [before, TEXT, after, *GOOD], GOOD])
    backend = guarded(engine)
    for _ in range(2):
        await ends(backend)
    clock(31)
    heard = asyncio.Event()

    def hear(event: StreamEvent) -> bool:
        if event is TEXT:
            heard.set()
        return False

    with listening(hear):
        probe = asyncio.create_task(ends(backend))
    await asyncio.sleep(0)
    assert "not asked for another 30 seconds" in await ends(backend)
    assert engine.calls == 3
    before.set()
    await heard.wait()
    assert await ends(backend) == "Hello."
    after.set()
    assert await probe == "Hello.Hello."
    assert state(backend) == "closed"


async def test_the_first_failure_after_a_probe_that_only_began_opens_it_again(clock: Callable[[float], None]) -> None:
    cut = StreamAssemblyError("cut")
    backend = guarded(Played([[DOWN], [DOWN], [TEXT, cut]]))
    for _ in range(2):
        await ends(backend)
    clock(31)
    assert await ends(backend) == "cut"
    assert state(backend) == "open"
    refusal = backend.breaker.refusal
    assert refusal is not None
    assert round(refusal.retry_after or 0) == 60


async def test_a_cancelled_call_counts_as_nothing_and_leaves_the_probe_to_the_next(
    clock: Callable[[float], None],
) -> None:
    never = asyncio.Event()
    engine = Played([[DOWN], [never], [DOWN], [never], [RateLimitError("429")], GOOD])
    backend = guarded(engine)

    async def cancelled() -> None:
        call = asyncio.create_task(ends(backend))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    await ends(backend)
    await cancelled()
    assert state(backend) == "closed"
    await ends(backend)
    assert state(backend) == "open"
    clock(31)
    await cancelled()
    assert state(backend) == "half_open"
    assert await ends(backend) == "429"
    assert await ends(backend) == "Hello."
    assert state(backend) == "closed"


async def test_who_has_heard_enough_was_answered(clock: Callable[[float], None]) -> None:
    backend = guarded(Played([[DOWN], [DOWN], GOOD]))
    for _ in range(2):
        await ends(backend)
    clock(31)
    with listening(lambda event: event is TEXT):
        assert await ends(backend) == "Hello."
    assert state(backend) == "closed"


async def test_a_look_asks_no_backend_that_is_left_alone_and_may_let_calls_through_again(
    clock: Callable[[float], None],
) -> None:
    engine = Played([[DOWN], [DOWN], GOOD])
    backend = guarded(engine)
    for _ in range(2):
        await ends(backend)
    with pytest.raises(ServerError, match="not asked"):
        await backend.reach(1)
    assert engine.looks == 0
    clock(31)
    engine.there = DOWN
    with pytest.raises(TransportError):
        await backend.reach(1)
    assert (engine.looks, state(backend)) == (1, "open")
    clock(61)
    engine.there = None
    await backend.reach(1)
    assert (engine.looks, state(backend)) == (2, "closed")
    assert await ends(backend) == "Hello."


async def test_looks_alone_open_no_breaker() -> None:
    backend = guarded(Played([GOOD], there=DOWN))
    for _ in range(5):
        with pytest.raises(TransportError):
            await backend.reach(1)
    assert state(backend) == "closed"


async def test_a_try_that_broke_off_tells_what_it_had_written() -> None:
    lost: list[int] = []
    backend = guarded(Played([[StreamStartEvent(), TEXT, DOWN], [DOWN], GOOD]))
    with calling(within=10, lost=lost.append):
        for _ in range(3):
            await ends(backend)
    assert lost == [2]


async def test_roles_that_share_an_engine_share_its_breaker_fallbacks_too() -> None:
    def entry(**more: object) -> ModelSettings:
        return ModelSettings.model_validate({"base_url": "http://127.0.0.1:1/v1", "model": "m", **more})

    other = entry(model="other")
    models = ModelsSettings(generator=entry(fallbacks=(other,)), tool_compiler=other, sub_lm=entry())
    backends = Backends(models, ResilienceSettings(max_retries=0, breaker_failures=1))
    for asked in (backends.lm("tool_compiler"), backends.lm("sub_lm")):
        with pytest.raises(LMError, match="cannot reach"):
            await asked.acall(replace(HELLO, model=asked.model))
    looks = await backends.health()
    assert [(look.role, look.breaker) for look in looks] == [
        ("generator", "open"),
        ("tool_compiler", "open"),
        ("sub_lm", "open"),
    ]
    assert [look.breaker for look in looks[0].fallbacks] == ["open"]
    await backends.aclose()
