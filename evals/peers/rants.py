"""RANTS's own loop, with the environment that it takes by default."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from programs import RANTS, Backends
from programs.settings import LoopSettings, ModelSettings, ModelsSettings


async def start(base_url: str) -> Callable[[str, str], Awaitable[str]]:
    """See `speak`."""
    models = ModelsSettings(generator=ModelSettings(base_url=base_url, model="scripted"))
    rants = RANTS(Backends(models), LoopSettings(mode="explore", max_iterations=200))

    async def answer(question: str, context: str) -> str:
        prediction = await rants.acall(question=question, context=context)
        return str(prediction.text)

    return answer
