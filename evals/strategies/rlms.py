"""`rlms`, the paper's own code (arXiv 2512.24601), as it comes: in a process of its own, without a sandbox."""

from __future__ import annotations

import math

from evals.bounding import Bounded
from evals.facade import facade
from evals.performance.peer import RLMS_PACKAGE, PeerFailed, peer
from evals.scripted import ScriptedBackend
from evals.strategies.strategy import Said
from evals.tasks import Task
from programs import Backends
from programs.backends.lm import BackendLM
from programs.budget import Budget
from programs.settings import BudgetSettings


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`. One model is its root LM and its sub-LM: ours for code.

    Raises:
        BudgetSpent: it has no way to conclude when its calls or tokens are spent, but for its turns.
        PeerFailed: uv cannot start it, or it failed.
    """
    left = Budget(budget)
    lm: BackendLM = backends.lm("code_interpreter")
    served = ScriptedBackend(facade(Bounded(lm.backend, left), lm.model))
    try:
        with served:
            async with peer("rlms", "rlms", served.base_url, str(budget.iterations), requires=RLMS_PACKAGE) as started:
                await started.hold(task.context)
                ran = await started.ask([task.question], within=math.inf)
    except PeerFailed:
        if served.failure is not None:
            raise served.failure from None
        left.check()
        raise
    return Said(ran.answers[0])
