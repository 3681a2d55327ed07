"""`dspy.RLM`, in our jail, over our engines."""

from __future__ import annotations

from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from evals.bounding import Bounded
from evals.peers.dspy_rlm import program
from evals.strategies.strategy import Said
from evals.tasks import Task
from evals.threads import Calls, threaded
from programs import Backends
from programs.backends import Role, translate
from programs.backends.lm import BackendLM
from programs.budget import Budget
from programs.settings import BudgetSettings, Limits


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`. It blocks where it runs code, and so has a thread. Cut off, its code may run to the jail's limit.

    Raises:
        BudgetSpent: it has no way to conclude when its calls or tokens are spent, but for its turns.
        BackendError, ContextTooLong: the model failed.
        dspy.AdapterParseError: what the model wrote could not be read.
        CodeInterpreterError: the jail failed.
    """
    left, calls = Budget(budget), Calls()

    def lm(role: Role) -> dspy.LM:
        ours: BackendLM = backends.lm(role)
        return calls.lm(ours.model, Bounded(ours.backend, left))

    limits = Limits()
    made = program(
        iterations=budget.iterations,
        sub_calls=budget.model_calls,
        sub_lm=lm("sub_lm"),
        limits=limits.model_copy(update={"wall_seconds": min(limits.wall_seconds, budget.seconds)}),
    )

    def run() -> Any:
        with dspy.context(lm=lm("code_interpreter")):
            return made(question=task.question, context=task.context)

    try:
        done = await threaded(run, calls)
    except LMError as error:
        left.check()
        raise translate(error, role="code_interpreter") from error
    turns: list[dict[str, Any]] = done.trajectory
    # It concludes when it has no turns left; then the last one has not submitted.
    spent = len(turns) >= budget.iterations and not turns[-1]["output"].startswith("FINAL:")
    told = "\n\n".join(f"{turn['reasoning']}\n\n{turn['code']}\n\n{turn['output']}" for turn in turns)
    return Said(str(done.answer), "budget_iterations" if spent else None, told)
