"""`rants eval NAME`: the grid of models, lengths, seeds and strategies; what is in the folder is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from evals.benchmarks import BENCHMARKS
from evals.caching import Cache
from evals.cluster import on_cluster
from evals.folder import Folder
from evals.measuring import Measured, Setup, measure
from evals.progress import Bars
from evals.results import Cell, Result
from evals.strategies import strategy_of
from programs import Backends
from programs.errors import ConfigurationError
from programs.settings import BudgetSettings, ModelsSettings, ResilienceSettings
from programs.together import together

type Keep = Callable[[Measured], None]


async def evaluate(
    benchmark: str,
    models: Mapping[str, ModelsSettings],
    *,
    lengths: Sequence[int],
    strategies: Sequence[str],
    seeds: Iterable[int],
    budget: BudgetSettings,
    out: Path,
    data: Path | None = None,
    parallel: int = 1,
    resilience: ResilienceSettings | None = None,
    ray: str | None = None,
) -> list[Result]:
    """Measure what is not yet in `out`, and give all results of the grid, in its order.

    Interrupted, it leaves what is done; called again in the same way it goes on, and repeats no model call that was
    answered (on a cluster: no cell that was measured).

    Args:
        benchmark: by name.
        models: by the names that the results give them.
        lengths: of the contexts, in tokens.
        strategies: by name.
        seeds: of the tasks.
        budget: of each question.
        out: the folder of the results; made if need be.
        data: where the benchmark's question data is; None for what it has itself.
        parallel: how many cells are measured at once; on a cluster its CPUs say that.
        resilience: time-outs and retries of backends over HTTP.
        ray: the address of a Ray cluster that measures, as `ray.init` takes it; `local` starts one here. None measures
            in this process.

    Raises:
        ConfigurationError: a name is not known, the data cannot be used, or the folder has results of other settings.
        BackendUnavailable: a model's server is out of reach.
    """
    if benchmark not in BENCHMARKS:
        raise ConfigurationError(f"no such benchmark: {benchmark}. There is {', '.join(BENCHMARKS)}")
    strategies = [*dict.fromkeys(strategies)]
    for strategy in strategies:
        strategy_of(strategy)
    setup = Setup(benchmark, models, budget, data, resilience or ResilienceSettings())
    cells = [*grid(benchmark, models, lengths, [*seeds], strategies)]
    folder = Folder(out, setup)
    with Bars(strategies, len(cells) // max(1, len(strategies))) as bars:
        left = []
        for cell in cells:
            if (known := folder.find(cell)) is None:
                left.append(cell)
            else:
                bars.add(known)

        def keep(measured: Measured) -> None:
            bars.add(folder.add(measured))

        if ray is not None and left:
            await on_cluster(left, setup, keep, address=ray)
        elif left:
            with Cache(out / "cache") as cache:
                await _here(left, setup, keep, cache=cache, parallel=parallel)
    return [result for cell in cells if (result := folder.find(cell)) is not None]


def grid(
    benchmark: str, models: Iterable[str], lengths: Iterable[int], seeds: Sequence[int], strategies: Sequence[str]
) -> Iterator[Cell]:
    """All cells: those of a model together, for it is loaded once; in these those of a task, for it is made once."""
    for model in dict.fromkeys(models):
        for tokens in dict.fromkeys(lengths):
            for seed in dict.fromkeys(seeds):
                for strategy in dict.fromkeys(strategies):
                    yield Cell(benchmark=benchmark, tokens=tokens, strategy=strategy, model=model, seed=seed)


async def _here(left: Sequence[Cell], setup: Setup, keep: Keep, *, cache: Cache, parallel: int) -> None:
    """Measure in this process."""
    for model in dict.fromkeys(cell.model for cell in left):
        backends = await setup.opened(model)
        cells = iter([cell for cell in left if cell.model == model])

        async def work(cells: Iterator[Cell] = cells, backends: Backends = backends) -> None:
            for cell in cells:
                keep(await measure(cell, setup, backends, cache=cache))

        try:
            await together(work() for _ in range(parallel))
        finally:
            await backends.aclose()
