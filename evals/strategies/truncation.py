"""Truncation: the middle of the text is cut out so that it fits, as LongBench does (arXiv 2308.14508); one call."""

from __future__ import annotations

from evals.strategies.asking import ask_about
from evals.strategies.strategy import Said
from evals.tasks import Task
from programs import Backends
from programs.budget import Budget
from programs.context import shorten
from programs.settings import BudgetSettings


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`. A note says how much is left out.

    Raises:
        BackendError: the model failed.
        ContextTooLong: also much less than its window was too much for it.
    """
    return Said(await ask_about(backends, task.question, Budget(budget), lambda room: shorten(task.context, room)))
