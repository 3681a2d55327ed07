"""One cell of an evaluation is measured: its task is made, a strategy answers it, and the reply is scored."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from evals.benchmarks import BENCHMARKS
from evals.caching import Cache
from evals.results import Cell, Result
from evals.strategies import Said, strategy_of
from evals.strategies.answering import answered
from evals.tasks import Task
from programs import Backends
from programs.context import shorten
from programs.errors import BackendUnavailable
from programs.outline import outline
from programs.settings import BudgetSettings, ModelsSettings, ResilienceSettings

_REPLY_TOKENS = 4_000  # of a reply that are kept
_REACH_SECONDS = 10.0  # that a server may take to list its models
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Setup:
    """What all cells of an evaluation have in common.

    Attributes:
        benchmark: by name.
        models: by the names that the results give them.
        budget: of each question.
        data: where the benchmark's question data is; None for what it has itself.
        resilience: time-outs and retries.
    """

    benchmark: str
    models: Mapping[str, ModelsSettings]
    budget: BudgetSettings
    data: Path | None = None
    resilience: ResilienceSettings = field(default_factory=ResilienceSettings)

    async def opened(self, model: str) -> Backends:
        """The models of that name, of which each has been reached; whoever asks for them closes them.

        Raises:
            ConfigurationError: an embedded model's weights are not there.
            BackendUnavailable: a model's server is out of reach.
        """
        # A breaker would answer for the backend: what fails again and again is to be counted, each for itself.
        backends = Backends(self.models[model], self.resilience.model_copy(update={"breaker_failures": 0}))
        try:
            await _reached(backends)
        except BaseException:
            await backends.aclose()
            raise
        return backends


@dataclass(frozen=True, slots=True)
class Measured:
    """A result, and what was done for it as text: empty where there is nothing to tell."""

    result: Result
    trace: str


async def measure(cell: Cell, setup: Setup, backends: Backends, *, cache: Cache | None = None) -> Measured:
    """Measure one cell. Tasks are made, and replies scored, off the event loop.

    Args:
        cell: of a benchmark and a strategy that there are.
        setup: of its evaluation.
        backends: of its model.
        cache: where replies are kept; None keeps none.

    Raises:
        ConfigurationError: the task cannot be made of the data.
        BackendUnavailable: a model's server is gone.
    """
    task = await asyncio.to_thread(_made, cell.benchmark, cell.seed, cell.tokens, setup.data)
    strategy = strategy_of(cell.strategy)
    done = await answered(strategy, task, backends, setup.budget, cache=cache, cell=slug(cell))
    if done.failure == BackendUnavailable.__name__:
        # One call that failed makes a result; where the server is gone, all that are left would fail.
        await _reached(backends)
    said = done.said
    score, right = (0.0, False) if said is None else await asyncio.to_thread(_judged, cell.benchmark, task, said.reply)
    result = Result(
        cell=cell,
        score=score,
        right=right,
        floor=task.floor,
        question=task.question,
        answer=task.answer,
        reply="" if said is None else shorten(said.reply, _REPLY_TOKENS),
        prompt=done.usage.prompt,
        completion=done.usage.completion,
        cached=done.usage.cached,
        model_calls=done.model_calls,
        seconds=round(done.seconds, 3),
        failure="seconds" if done.failure == TimeoutError.__name__ else done.failure,
        said=done.words,
        stopped_by=None if said is None else said.stopped_by,
    )
    return Measured(result, _trace(said))


def slug(cell: Cell) -> str:
    """A name for a cell that can be a file's; other cells have others."""
    words = f"{cell.benchmark}-{cell.tokens}-{cell.strategy}-{cell.model}-{cell.seed}"
    plain = re.sub(r"[^\w.-]+", "_", words, flags=re.ASCII)
    return f"{plain[:120]}-{hashlib.blake2b(cell.model_dump_json().encode(), digest_size=4).hexdigest()}"


async def _reached(backends: Backends) -> None:
    for look in await backends.health(_REACH_SECONDS):
        if look.error is not None:
            raise BackendUnavailable(f"the {look.role} backend: {look.error}", backend=look.role)


def _made(benchmark: str, seed: int, tokens: int, data: Path | None) -> Task:
    """The task; the strategies that follow one another get the same."""
    with _making:
        return _make(benchmark, seed, tokens, data)


@lru_cache(maxsize=2)
def _make(benchmark: str, seed: int, tokens: int, data: Path | None) -> Task:
    return BENCHMARKS[benchmark].make(seed, tokens, data)


def _judged(benchmark: str, task: Task, reply: str) -> tuple[float, bool]:
    judge = BENCHMARKS[benchmark]
    return judge.score(task, reply), judge.right(task, reply)


def _trace(said: Said | None) -> str:
    if said is None:
        return ""
    return said.trajectory if isinstance(said.trajectory, str) else outline(said.trajectory)
