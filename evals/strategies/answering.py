"""A strategy answers a task: within the budget, measured, and with what it was told before where it was interrupted."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import dspy
from dspy.primitives.code_interpreter import CodeInterpreterError
from dspy.utils.exceptions import AdapterParseError

from evals.caching import Cache
from evals.metering import Meter
from evals.performance.peer import PeerFailed
from evals.strategies.strategy import Said, Strategy
from evals.tasks import Task
from programs import Backends
from programs.errors import RantsError
from programs.settings import BudgetSettings
from programs.transcript import Usage

_FAILURES = (RantsError, TimeoutError, PeerFailed, AdapterParseError, CodeInterpreterError)
"""Ours; the wall clock's; and those of the peers. Anything else is a bug."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of it.

    Attributes:
        said: the answer; None where it failed.
        failure: the name of the error's type, where it failed.
        words: the error's message.
        usage: tokens of all model calls; of those whose replies were on disk, what they had cost.
        model_calls: how many were made, or found on disk.
        seconds: that it took.
    """

    said: Said | None
    failure: str | None
    words: str | None
    usage: Usage
    model_calls: int
    seconds: float


async def answered(
    strategy: Strategy,
    task: Task,
    backends: Backends,
    budget: BudgetSettings,
    *,
    cache: Cache | None = None,
    cell: str = "",
) -> Answered:
    """Have `strategy` answer `task`.

    Args:
        strategy: how.
        task: what is asked.
        backends: the models; whoever opened them closes them.
        budget: the seconds hold for every strategy; the rest is honoured where a strategy can.
        cache: where replies are kept; None keeps none.
        cell: tells this use of the cache from all others. What has the same name is the same work, taken up again.

    Raises:
        Exception: a bug. Failures of models, environments and peers, and the end of the time, are in the result.
    """
    meter = Meter()
    seen = backends if cache is None else backends.through(cache.cell(cell))
    seen = seen.through(meter.around)
    said: Said | None = None
    failure: str | None = None
    words: str | None = None
    start = time.perf_counter()
    try:
        # dspy's history would keep every prompt.
        with dspy.context(disable_history=True):
            async with asyncio.timeout(budget.seconds):
                said = await strategy.answer(task, seen, budget)
    except _FAILURES as error:
        failure = type(error).__name__
        words = str(error) or f"not done within {budget.seconds:g} seconds"
    return Answered(said, failure, words, meter.usage, meter.model_calls, time.perf_counter() - start)
