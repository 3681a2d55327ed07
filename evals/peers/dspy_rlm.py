"""`dspy.RLM` in our jail, over our engine: what is measured is its loop, not the interpreter that it comes with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import dspy

from programs import Backends
from programs.environment import EnvironmentInterpreter
from programs.settings import Limits, ModelSettings, ModelsSettings


async def start(base_url: str) -> Callable[[str, str], Awaitable[str]]:
    """See `speak`."""
    models = ModelsSettings(generator=ModelSettings(base_url=base_url, model="scripted"))
    dspy.configure(lm=Backends(models).lm("generator"))
    made = program(iterations=200, sub_calls=1000)

    async def answer(question: str, context: str) -> str:
        prediction = await made.acall(question=question, context=context)
        return str(prediction.answer)

    return answer


def program(
    *, iterations: int, sub_calls: int, sub_lm: dspy.LM | None = None, limits: Limits | None = None
) -> dspy.RLM:
    """It, to be asked a `question` about a `context`.

    Args:
        iterations: turns that it may take.
        sub_calls: calls of the sub-LM that its code may make.
        sub_lm: None for the root's.
        limits: of the jail.
    """
    return dspy.RLM(
        "context, question -> answer",
        max_iters=iterations,
        max_llm_calls=sub_calls,
        sub_lm=sub_lm,
        interpreter_factory=lambda: EnvironmentInterpreter("jail", limits=limits),
    )
