"""RANTS itself, in one of its modes."""

from __future__ import annotations

from pathlib import Path

from evals.strategies.asking import concluding
from evals.strategies.strategy import Answer, Said
from evals.tasks import Task
from programs import RANTS, Backends
from programs.settings import BudgetSettings, LoopSettings


def direct(program: Path | None = None) -> Answer:
    """DIRECT, which fails where the text does not fit the window; `program` is a saved one of `rants optimize`."""

    async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
        return await _said(LoopSettings(mode="direct", budget=budget), program, task, backends)

    return answer


def explore(depth: int, program: Path | None = None) -> Answer:
    """EXPLORE of a depth as the paper counts it: 1 is a root LM whose code calls LMs, 2 lets it call RLMs of depth 1.

    `LoopSettings.max_depth` counts the levels of child sessions, and so one less.

    Args:
        depth: from 1.
        program: a saved one of `rants optimize`.
    """

    async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
        settings = LoopSettings(
            mode="explore",
            max_depth=depth - 1,
            max_iterations=budget.iterations,
            budget=concluding(budget),
        )
        return await _said(settings, program, task, backends)

    return answer


async def _said(settings: LoopSettings, program: Path | None, task: Task, backends: Backends) -> Said:
    done = await RANTS(backends, settings, program=program).aforward(question=task.question, context=task.context)
    return Said(done.text, done.reason, tuple(done.trajectory))
