"""`dspy.RLM` in our jail, over our engine: what is measured is its loop, not the interpreter that it comes with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import dspy

from programs import Backends
from programs.environment import EnvironmentInterpreter
from programs.settings import ModelSettings, ModelsSettings


async def start(base_url: str) -> Callable[[str, str], Awaitable[str]]:
    """See `speak`."""
    models = ModelsSettings(generator=ModelSettings(base_url=base_url, model="scripted"))
    dspy.configure(lm=Backends(models).lm("generator"))
    program = dspy.RLM(
        "context, question -> answer",
        max_iters=200,
        max_llm_calls=1000,
        interpreter_factory=lambda: EnvironmentInterpreter("jail"),
    )

    async def answer(question: str, context: str) -> str:
        prediction = await program.acall(question=question, context=context)
        return str(prediction.answer)

    return answer
