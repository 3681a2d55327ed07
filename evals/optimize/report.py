"""What is reported of an optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from evals.intervals import wilson
from evals.optimize.work import Done


@dataclass(frozen=True, slots=True)
class Measured:
    """What a program has made of a set of jobs.

    Attributes:
        score: the mean, 0 to 1.
        right: how many jobs it did wholly right, of `count`.
    """

    score: float
    right: int
    count: int

    @classmethod
    def of(cls, done: Sequence[Done]) -> Self:
        """What these jobs add up to."""
        right = sum(one.right for one in done)
        return cls(sum(one.score for one in done) / len(done), right, len(done))

    def __str__(self) -> str:
        low, high = wilson(self.right, self.count)
        return f"{self.right} of {self.count} right ({low * 100:.0f} to {high * 100:.0f} %), score {self.score:.2f}"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of an optimisation.

    Attributes:
        before, after: on the development set.
        test_before, test_after: on the test set; the second is None where nothing better was found.
        calls: jobs that were done for it.
        ended: what ended it early: `calls`, `minutes` or `perfect`; None where the optimiser was done.
    """

    before: Measured
    after: Measured
    test_before: Measured
    test_after: Measured | None
    calls: int
    ended: str | None

    @property
    def better(self) -> bool:
        """Whether something better was found, and saved."""
        return self.test_after is not None
