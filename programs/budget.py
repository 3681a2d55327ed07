"""One budget for a whole tree of sessions: what it may spend, what is spent, and the stop when that is all.

A run makes one `Budget`; every session of its tree spends from it. Its methods do not await, so that what they take is
taken at once, however many sessions run beside each other.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from programs.errors import BudgetSpent
from programs.settings import BudgetSettings
from programs.transcript import Usage

_CONCLUDING_SECONDS = 60.0
_CLOCK = re.compile(r"(Budget left: \d+ turns?, [\d,]+ model calls), \d+ min\.")


@dataclass(frozen=True, slots=True)
class Spent:
    """What has been spent of each part; the tokens with the share that was cached."""

    seconds: float = 0.0
    model_calls: int = 0
    iterations: int = 0
    usage: Usage = field(default_factory=Usage)


class Budget:
    """What is left of `settings`, from now on.

    Args:
        settings: the limits.
        spent: what an earlier attempt at the run has used.
    """

    def __init__(self, settings: BudgetSettings, *, spent: Spent | None = None) -> None:
        spent = spent or Spent()
        self._settings = settings
        self._end = time.monotonic() + settings.seconds - spent.seconds
        self._places = asyncio.Semaphore(settings.concurrency)
        self._reserved = 0
        self.model_calls = spent.model_calls
        self.iterations = spent.iterations
        self.usage = spent.usage

    @property
    def seconds_left(self) -> float:
        """Of wall clock; not below zero."""
        return max(0.0, self._end - time.monotonic())

    def check(self) -> None:
        """See that something is left for a model call.

        Raises:
            BudgetSpent: the time, the calls or the tokens are spent.
        """
        limits = self._settings
        if self.seconds_left <= 0:
            raise _stop("budget_seconds", f"the run's {limits.seconds:g} seconds are over")
        if self.model_calls >= limits.model_calls:
            raise _stop("budget_model_calls", f"the run's {limits.model_calls:,} model calls are made")
        if self._tokens() >= limits.tokens:
            raise _stop("budget_tokens", f"the run's {limits.tokens:,} tokens are used")

    def take_iteration(self) -> None:
        """Count a turn of a session. In the last one, models can still be called.

        Raises:
            BudgetSpent: a part is spent.
        """
        self.check()
        if self.iterations >= self._settings.iterations:
            raise _stop("budget_iterations", f"the run's {self._settings.iterations:,} turns are taken")
        self.iterations += 1

    @asynccontextmanager
    async def call(self, tokens: int, *, concluding: bool = False) -> AsyncGenerator[float]:
        """Make one model call inside, within the seconds that this gives; wait first, while too many are being made.

        Args:
            tokens: about how many its prompt has. They count as used while it is made; then `spend` what it cost.
            concluding: this is the call that is made when the budget has ended: it may begin, and take a minute.

        Raises:
            BudgetSpent: a part is spent, or the time ended while the call was made.
        """
        if not concluding:
            self.check()
        self.model_calls += 1
        self._reserved += tokens
        left = max(self.seconds_left, _CONCLUDING_SECONDS) if concluding else self.seconds_left
        try:
            async with asyncio.timeout(left) as deadline, self._places:
                yield (deadline.when() or math.inf) - asyncio.get_running_loop().time()
        except TimeoutError:
            if deadline.expired():
                self.check()
                raise _stop("budget_seconds", "no time is left to conclude") from None
            raise
        finally:
            self._reserved -= tokens

    def spend(self, usage: Usage) -> None:
        """Add what a call has cost."""
        self.usage += usage

    def left(self, iterations: int) -> str:
        """What is left, for the model that is to do with it.

        Args:
            iterations: turns that the session has left by its own limit.
        """
        turns = max(0, min(iterations, self._settings.iterations - self.iterations))
        calls = max(0, self._settings.model_calls - self.model_calls)
        minutes = math.ceil(self.seconds_left / 60)
        return f"Budget left: {turns} {'turn' if turns == 1 else 'turns'}, {calls:,} model calls, {minutes} min."

    def _tokens(self) -> int:
        return self.usage.prompt + self.usage.completion + self._reserved


def timeless(prompt: str) -> str:
    """A prompt without the minutes that `Budget.left` has told in it: the same, whenever it is made."""
    return _CLOCK.sub(r"\1.", prompt)


def _stop(what: str, because: str) -> BudgetSpent:
    return BudgetSpent(f"The budget is spent: {because}.", what=what)
