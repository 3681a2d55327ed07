"""Each configured model as a `dspy.LM`.

`Backends` binds the entries under `models:` to the roles that the loop calls. Anything else that is a `dspy.LM` can
play a role too: `Backends.of(generator=dspy.LM(...))`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import dspy
from dspy.lm15 import LM15Error

from programs.backends.engine import AsyncEngine, listening, run_sync
from programs.backends.failures import translate
from programs.backends.lm import BackendLM
from programs.settings import ModelSettings, ModelsSettings, ResilienceSettings

__all__ = ["ROLES", "AsyncEngine", "Backends", "Health", "Role", "listening", "run_sync", "translate"]

Role = Literal["generator", "tool_compiler", "code_interpreter", "vision", "sub_lm"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Health:
    """One look at a backend: `error` is None when it answered; `latency` is in seconds."""

    role: Role
    provider: str
    model: str
    latency: float
    error: str | None


class Backends:
    """The models of one configuration, by role. A role that has no entry is played by the generator.

    Args:
        models: the entries; two that are equal share one engine.
        resilience: time-outs and retries of the `openai` ones.

    Raises:
        ConfigurationError: an embedded model's weights are not there.
    """

    def __init__(self, models: ModelsSettings | None = None, resilience: ResilienceSettings | None = None) -> None:
        self.settings = models or ModelsSettings()
        self._resilience = resilience or ResilienceSettings()
        self._engines: dict[Role, AsyncEngine] = {}
        self._lms: dict[Role, dspy.LM] = {}
        bound: list[tuple[ModelSettings, AsyncEngine, dspy.LM]] = []
        for role in ROLES:
            entry: ModelSettings | None = getattr(self.settings, role)
            if entry is None:
                continue
            known = next(((engine, lm) for other, engine, lm in bound if other == entry), None)
            engine, lm = known or self._bind(role, entry)
            bound.append((entry, engine, lm))
            self._engines[role], self._lms[role] = engine, lm

    @classmethod
    def of(cls, generator: dspy.LM, **others: dspy.LM) -> Self:
        """Backends from LMs that were made elsewhere, by role."""
        backends = cls.__new__(cls)
        backends.settings = ModelsSettings()
        backends._engines = {}
        backends._lms = {"generator": generator, **others}  # type: ignore[dict-item]
        return backends

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Connections and weights are shared by the copies of a program that optimisers make."""
        return self

    def lm(self, role: Role) -> dspy.LM:
        """The model that plays `role`."""
        return self._lms.get(role) or self._lms["generator"]

    def provider(self, role: Role) -> str:
        """Of the model of `role`, as it is configured: `embedded`, `openai`, ..."""
        entry: ModelSettings = getattr(self.settings, role) or self.settings.generator
        return str(entry.provider)

    def can(self, role: Role, capability: Literal["json_schema", "vision"]) -> bool:
        """Whether the model of `role` is configured as able to do that."""
        entry: ModelSettings = getattr(self.settings, role) or self.settings.generator
        return capability in entry.capabilities

    @property
    def sees(self) -> bool:
        """Whether there is a model that can look at images: one for `vision`, or a generator that says it can."""
        return self.settings.vision is not None or "vision" in self._lms or self.can("generator", "vision")

    def window(self, role: Role) -> int | None:
        """Tokens of prompt and reply together that the model of `role` can hold; None where nobody said."""
        entry: ModelSettings | None = getattr(self.settings, role)
        if entry is None:
            return None if role == "generator" else self.window("generator")
        return entry.context_window or getattr(self._engines.get(role), "window", None)

    async def health(self, within: float = 2.0) -> list[Health]:
        """Look at every configured backend at once; each look takes at most `within` seconds."""
        return list(await asyncio.gather(*(self._look(role, within) for role in self._engines)))

    async def warm(self) -> None:
        """Load embedded weights now instead of with the first question."""
        await self.health()

    async def aclose(self) -> None:
        """Let go of every connection, thread and weight."""
        for engine in set(self._engines.values()):
            await engine.aclose()

    async def _look(self, role: Role, within: float) -> Health:
        entry: ModelSettings = getattr(self.settings, role)
        engine = self._engines[role]
        start = time.perf_counter()
        try:
            await engine.reach(within)
            error = None
        except LM15Error as failure:
            error = str(failure.message).partition("\n\n")[0]
        latency = time.perf_counter() - start
        return Health(role, str(entry.provider), entry.model or "(the first it lists)", latency, error)

    def _bind(self, role: Role, entry: ModelSettings) -> tuple[AsyncEngine, dspy.LM]:
        engine: AsyncEngine
        # An engine is imported only when it is configured: llama.cpp is 100 MB of library.
        if entry.provider == "embedded":
            from programs.backends.embedded import EmbeddedEngine

            engine = EmbeddedEngine(role, entry)
        else:
            from programs.backends.openai import OpenAIEngine

            engine = OpenAIEngine(role, entry, self._resilience)
        return engine, BackendLM(entry.model or "default", engine)
