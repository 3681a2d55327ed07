"""RANTS itself, in one of its modes."""

from __future__ import annotations

from evals.strategies.asking import concluding
from evals.strategies.strategy import Answer, Said
from evals.tasks import Task
from programs import RANTS, Backends
from programs.settings import BudgetSettings, LoopSettings


async def direct(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`: DIRECT.

    Raises:
        ContextTooLong: the text does not fit the window.
        BackendError: the model failed.
    """
    return await _said(LoopSettings(mode="direct", budget=budget), task, backends)


def explore(depth: int) -> Answer:
    """EXPLORE of a depth as the paper counts it: 1 is a root LM whose code calls LMs, 2 lets it call RLMs of depth 1.

    `LoopSettings.max_depth` counts the levels of child sessions, and so one less.
    """

    async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
        settings = LoopSettings(
            mode="explore",
            max_depth=depth - 1,
            max_iterations=budget.iterations,
            budget=concluding(budget),
        )
        return await _said(settings, task, backends)

    return answer


async def _said(settings: LoopSettings, task: Task, backends: Backends) -> Said:
    done = await RANTS(backends, settings).aforward(question=task.question, context=task.context)
    return Said(done.text, done.reason, tuple(done.trajectory))
