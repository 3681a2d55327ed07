"""Each configured model as a `dspy.LM`.

`Backends` binds the entries under `models:` to the roles that the loop calls. Anything else that is a `dspy.LM` can
play a role too: `Backends.of(generator=dspy.LM(...))`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import dspy
from dspy.lm15 import LM15Error

from programs.backends.breaker import State
from programs.backends.engine import AsyncEngine, calling, listening, run_sync
from programs.backends.failures import said, translate
from programs.backends.fallbacks import Fallbacks
from programs.backends.guarded import Guarded
from programs.backends.lm import BackendLM
from programs.errors import ConfigurationError
from programs.settings import Capability, ModelSettings, ModelsSettings, ResilienceSettings

__all__ = ["ROLES", "AsyncEngine", "Backends", "Health", "Role", "calling", "listening", "run_sync", "translate"]

Role = Literal["generator", "tool_compiler", "code_interpreter", "vision", "sub_lm"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Health:
    """One look at a backend.

    Attributes:
        latency: in seconds.
        error: why it cannot be used; None when it answered.
        breaker: the state of its breaker. While that is open it is not asked.
        fallbacks: how those do that are asked in its place.
    """

    role: Role
    provider: str
    model: str
    latency: float
    error: str | None
    breaker: State
    fallbacks: tuple[Health, ...] = ()


class Backends:
    """The models of one configuration, by role. A role that has no entry is played by the generator.

    Args:
        models: the entries; those that are equal share one engine and its breaker, fallbacks too.
        resilience: time-outs, retries and breakers.

    Raises:
        ConfigurationError: an embedded model's weights are not there.
    """

    def __init__(self, models: ModelsSettings | None = None, resilience: ResilienceSettings | None = None) -> None:
        self.settings = models or ModelsSettings()
        self._resilience = resilience or ResilienceSettings()
        self._bound: list[Guarded] = []
        self._backends: dict[Role, tuple[Guarded, ...]] = {}
        self._lms: dict[Role, dspy.LM] = {}
        for role in ROLES:
            entry: ModelSettings | None = getattr(self.settings, role)
            if entry is None:
                continue
            same = next((other for other in self._backends if getattr(self.settings, other) == entry), None)
            if same is not None:
                self._backends[role], self._lms[role] = self._backends[same], self._lms[same]
                continue
            first, *others = self._backends[role] = tuple(self._bind(role, one) for one in (entry, *entry.fallbacks))
            engine = Fallbacks(self._backends[role]) if others else first
            self._lms[role] = BackendLM(entry.model or "default", engine)

    @classmethod
    def of(cls, generator: dspy.LM, **others: dspy.LM) -> Self:
        """Backends from LMs that were made elsewhere, by role."""
        backends = cls.__new__(cls)
        backends.settings = ModelsSettings()
        backends._bound = []
        backends._backends = {}
        backends._lms = {"generator": generator, **others}  # type: ignore[dict-item]
        return backends

    def through(self, around: Callable[[AsyncEngine], AsyncEngine]) -> Self:
        """The same models, each call seen through an engine that `around` puts around theirs; close the first alone."""
        seen = copy(self)
        wrapped: dict[int, dspy.LM] = {}
        for lm in self._lms.values():
            if not isinstance(lm, BackendLM):
                raise ConfigurationError(f"{lm.model} is no backend of a configuration, and cannot be looked into")
            wrapped[id(lm)] = wrapped.get(id(lm)) or BackendLM(lm.model, around(lm.backend))
        seen._lms = {role: wrapped[id(lm)] for role, lm in self._lms.items()}
        return seen

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

    def can(self, role: Role, capability: Capability) -> bool:
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
        return self._backends[role][0].window if role in self._backends else entry.context_window

    async def health(self, within: float = 2.0) -> list[Health]:
        """Look at every configured backend at once; each look takes at most `within` seconds."""
        looks = await asyncio.gather(*(_look(backend, within) for backend in self._bound))
        seen = dict(zip(self._bound, looks, strict=True))
        told = []
        for role, backends in self._backends.items():
            first, *others = (self._told(role, backend, *seen[backend]) for backend in backends)
            told.append(replace(first, fallbacks=tuple(others)))
        return told

    async def warm(self) -> None:
        """Load embedded weights now instead of with the first question."""
        await self.health()

    async def aclose(self) -> None:
        """Let go of every connection, thread and weight."""
        for backend in self._bound:
            await backend.aclose()

    def _told(self, role: Role, backend: Guarded, latency: float, error: str | None) -> Health:
        entry = backend.entry
        model = entry.model or "(the first it lists)"
        return Health(role, str(entry.provider), model, latency, error, backend.breaker.state)

    def _bind(self, role: Role, entry: ModelSettings) -> Guarded:
        """The backend of an entry; the same for equal ones."""
        alone = entry.alone
        for known in self._bound:
            if known.entry == alone:
                return known
        engine: AsyncEngine
        # An engine is imported only when it is configured: llama.cpp is 100 MB of library.
        if alone.provider == "embedded":
            from programs.backends.embedded import EmbeddedEngine

            engine = EmbeddedEngine(role, alone)
        else:
            from programs.backends.openai import OpenAIEngine

            engine = OpenAIEngine(role, alone, self._resilience)
        self._bound.append(Guarded(role, engine, alone, self._resilience))
        return self._bound[-1]


async def _look(backend: Guarded, within: float) -> tuple[float, str | None]:
    """How long a backend took to answer, in seconds; and why it did not."""
    start = time.perf_counter()
    try:
        await backend.reach(within)
        error = None
    except LM15Error as failure:
        error = said(failure)
    return time.perf_counter() - start, error
