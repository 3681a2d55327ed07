"""One budget for a whole tree: each part of it ends the run by its name, whoever spends it and however many at once."""

from __future__ import annotations

import asyncio
import time

import pytest

from programs import Usage, budget
from programs.budget import Budget, Spent
from programs.errors import BudgetSpent
from programs.settings import BudgetSettings


def spent_by(limits: BudgetSettings, spent: Spent) -> str | None:
    """The part that `spent` is all of, so that no further turn may be taken, or None."""
    try:
        Budget(limits, spent=spent).take_iteration()
    except BudgetSpent as stop:
        return stop.what
    return None


@pytest.mark.parametrize(
    ("limits", "just_left", "all_spent", "part"),
    [
        (BudgetSettings(seconds=60), Spent(seconds=50), Spent(seconds=60), "budget_seconds"),
        (BudgetSettings(model_calls=3), Spent(model_calls=2), Spent(model_calls=3), "budget_model_calls"),
        (BudgetSettings(iterations=3), Spent(iterations=2), Spent(iterations=4), "budget_iterations"),
        (
            BudgetSettings(tokens=100),
            Spent(usage=Usage(prompt=60, completion=39, cached=60)),
            Spent(usage=Usage(prompt=60, completion=40)),
            "budget_tokens",
        ),
    ],
)
def test_each_part_ends_by_its_name(limits: BudgetSettings, just_left: Spent, all_spent: Spent, part: str) -> None:
    assert spent_by(limits, Spent()) is None
    assert spent_by(limits, just_left) is None
    assert spent_by(limits, all_spent) == part


async def test_a_spent_budget_lets_nothing_begin() -> None:
    left = Budget(BudgetSettings(model_calls=1), spent=Spent(model_calls=1))
    with pytest.raises(BudgetSpent, match="1 model calls are made"):
        left.check()
    with pytest.raises(BudgetSpent):
        left.take_iteration()
    with pytest.raises(BudgetSpent):
        async with left.call(1):
            pytest.fail("it began")
    assert (left.model_calls, left.iterations) == (1, 0)


async def test_in_the_last_turn_models_can_be_called() -> None:
    left = Budget(BudgetSettings(iterations=2))
    for _ in range(2):
        left.take_iteration()
        for _ in range(3):
            async with left.call(1):
                pass
    with pytest.raises(BudgetSpent) as stop:
        left.take_iteration()
    assert stop.value.what == "budget_iterations"
    assert (left.model_calls, left.iterations) == (6, 2)


async def test_calls_turns_and_tokens_are_counted() -> None:
    left = Budget(BudgetSettings())
    for _ in range(3):
        left.take_iteration()
        async with left.call(10):
            left.spend(Usage(prompt=10, completion=5, cached=2))
    assert (left.model_calls, left.iterations) == (3, 3)
    assert left.usage == Usage(prompt=30, completion=15, cached=6)


async def test_what_calls_that_are_open_will_cost_is_reserved() -> None:
    left = Budget(BudgetSettings(tokens=100))
    async with left.call(60):
        left.check()
        async with left.call(50):
            with pytest.raises(BudgetSpent) as stop:
                left.check()
            assert stop.value.what == "budget_tokens"
        left.check()
    left.spend(Usage(prompt=30, completion=5))
    left.check()
    assert left.usage == Usage(prompt=30, completion=5), "only what they did cost is spent"


@pytest.mark.parametrize("error", [ValueError(), TimeoutError("of the caller's own"), asyncio.CancelledError()])
async def test_a_call_that_fails_gives_back_what_was_reserved_and_its_place(error: BaseException) -> None:
    left = Budget(BudgetSettings(tokens=100, concurrency=1))
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            async with left.call(100):
                raise error
        assert raised.value is error
        left.check()


async def test_no_more_calls_than_may_are_made_at_once() -> None:
    left = Budget(BudgetSettings(concurrency=3))
    running, most = 0, 0

    async def call() -> None:
        nonlocal running, most
        async with left.call(1):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.002)
            running -= 1

    await asyncio.gather(*(call() for _ in range(20)))
    assert (most, running, left.model_calls) == (3, 0, 20)


async def test_however_many_ask_at_once_no_call_too_many_is_made() -> None:
    left = Budget(BudgetSettings(model_calls=5, concurrency=2))
    made = 0

    async def call() -> None:
        nonlocal made
        async with left.call(1):
            await asyncio.sleep(0)
            made += 1

    ends = await asyncio.gather(*(call() for _ in range(20)), return_exceptions=True)
    assert made == left.model_calls == 5
    assert [end.what for end in ends if isinstance(end, BudgetSpent)] == ["budget_model_calls"] * 15


async def test_a_call_is_ended_with_the_time() -> None:
    left = Budget(BudgetSettings(seconds=0.05))
    start, ended = time.monotonic(), False
    with pytest.raises(BudgetSpent) as stop:
        async with left.call(1):
            try:
                await asyncio.sleep(30)
            finally:
                ended = True
    assert stop.value.what == "budget_seconds"
    assert ended
    assert time.monotonic() - start < 5
    assert left.seconds_left == 0


async def test_who_waits_for_a_place_when_the_time_ends_does_not_begin() -> None:
    left = Budget(BudgetSettings(seconds=0.05, concurrency=1))

    async def hold() -> None:
        async with left.call(1):
            await asyncio.sleep(30)

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0)
    with pytest.raises(BudgetSpent):
        async with left.call(1):
            pytest.fail("it began")
    with pytest.raises(BudgetSpent):
        await holding


async def test_who_is_cancelled_while_waiting_leaves_the_place_to_others() -> None:
    left = Budget(BudgetSettings(tokens=100, concurrency=1))

    async def call() -> None:
        async with left.call(90):
            await asyncio.sleep(30)

    async with left.call(5):
        waiting = asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    async with asyncio.timeout(5), left.call(90):
        pass


@pytest.mark.parametrize(
    "spent",
    [Spent(model_calls=1), Spent(iterations=1), Spent(usage=Usage(prompt=1)), Spent(seconds=5)],
    ids=["calls", "turns", "tokens", "seconds"],
)
async def test_the_call_that_concludes_is_made_whatever_is_spent(spent: Spent) -> None:
    left = Budget(BudgetSettings(model_calls=1, iterations=1, tokens=1, seconds=5), spent=spent)
    with pytest.raises(BudgetSpent):
        left.take_iteration()
    async with left.call(10, concluding=True):
        await asyncio.sleep(0.01)
        left.spend(Usage(prompt=10, completion=1))
    assert left.model_calls == spent.model_calls + 1


async def test_the_call_that_concludes_has_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CONCLUDING_SECONDS", 0.05)
    left = Budget(BudgetSettings(seconds=1, iterations=3), spent=Spent(seconds=1))
    start = time.monotonic()
    with pytest.raises(BudgetSpent) as stop:
        async with left.call(10, concluding=True):
            await asyncio.sleep(30)
    assert stop.value.what == "budget_seconds"
    assert 0.05 <= time.monotonic() - start < 5


async def test_the_call_that_concludes_may_use_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CONCLUDING_SECONDS", 0.001)
    left = Budget(BudgetSettings(seconds=30, iterations=1), spent=Spent(iterations=1))
    async with left.call(10, concluding=True):
        await asyncio.sleep(0.05)


async def test_an_earlier_attempts_spending_counts() -> None:
    spent = Spent(seconds=400, model_calls=7, iterations=3, usage=Usage(prompt=10, completion=5, cached=1))
    left = Budget(BudgetSettings(seconds=480), spent=spent)
    assert (left.model_calls, left.iterations, left.usage) == (7, 3, spent.usage)
    assert 79 < left.seconds_left <= 80


def test_the_time_left_is_never_below_zero() -> None:
    assert Budget(BudgetSettings(seconds=1), spent=Spent(seconds=100)).seconds_left == 0


@pytest.mark.parametrize(
    ("spent", "turns", "said"),
    [
        (Spent(), 20, "Budget left: 20 turns, 2,000 model calls, 8 min."),
        (Spent(), 1, "Budget left: 1 turn, 2,000 model calls, 8 min."),
        (Spent(iterations=195), 20, "Budget left: 5 turns, 2,000 model calls, 8 min."),
        (Spent(iterations=300), 20, "Budget left: 0 turns, 2,000 model calls, 8 min."),
        (Spent(model_calls=1234), 20, "Budget left: 20 turns, 766 model calls, 8 min."),
        (Spent(model_calls=3000), 20, "Budget left: 20 turns, 0 model calls, 8 min."),
        (Spent(seconds=470), 20, "Budget left: 20 turns, 2,000 model calls, 1 min."),
        (Spent(seconds=999), 20, "Budget left: 20 turns, 2,000 model calls, 0 min."),
    ],
)
def test_what_is_left_is_said_in_words(spent: Spent, turns: int, said: str) -> None:
    assert Budget(BudgetSettings(), spent=spent).left(turns) == said
