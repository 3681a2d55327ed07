"""Flat: the whole text and the question in one call."""

from __future__ import annotations

from evals.strategies.asking import ask, worded
from evals.strategies.strategy import Said
from evals.tasks import Task
from programs import Backends
from programs.budget import Budget
from programs.errors import ContextTooLong
from programs.settings import BudgetSettings
from programs.transcript import estimate_tokens


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`.

    Raises:
        ContextTooLong: the text does not fit the window. A server may cut off what does not, so ours is not asked.
        BackendError: the model failed.
    """
    prompt = worded(task.context, task.question)
    size, window = estimate_tokens(prompt), backends.window("generator")
    if window is not None and size > window:
        raise ContextTooLong(f"The prompt is about {size} tokens long; the generator's window holds {window}.")
    return Said(await ask(backends, prompt, Budget(budget)))
