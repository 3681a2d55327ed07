"""What a strategy is: a way to have a model answer a question about a text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from evals.tasks import Task
from programs import Backends
from programs.events import Trajectory
from programs.settings import BudgetSettings


@dataclass(frozen=True, slots=True)
class Said:
    """What a strategy answers.

    Attributes:
        reply: the answer.
        stopped_by: the part of the budget that ended it early, if one did.
        trajectory: what was done for it, for a reader; empty where the strategy is one call.
    """

    reply: str
    stopped_by: str | None = None
    trajectory: tuple[Trajectory, ...] | str = ()


type Answer = Callable[[Task, Backends, BudgetSettings], Awaitable[Said]]
"""Answers a task with these models within this budget; raises a `RantsError` or `TimeoutError` where it fails."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to answer.

    Attributes:
        name: on the command line.
        what: it does, in a few words.
        answer: does it.
    """

    name: str
    what: str
    answer: Answer
