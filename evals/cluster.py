"""Cells as tasks of a Ray cluster: its workers measure, this process writes down.

RANTS must be installed on all its machines, the same version of it. What a worker needs is sent to it, keys of the
models included; the task it makes by itself, so that question data must be there, too, under the same path.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any

from evals.measuring import Measured, Setup, measure
from evals.results import Cell
from programs import Backends
from programs.errors import ConfigurationError, RantsError
from programs.together import together


async def on_cluster(cells: Sequence[Cell], setup: Setup, keep: Callable[[Measured], None], *, address: str) -> None:
    """Measure on a cluster: each cell has one CPU. A cell whose machine fails is measured again, elsewhere.

    Args:
        cells: to be measured.
        setup: of the evaluation.
        keep: is called here with what was measured, as it comes.
        address: as `ray.init` takes it; `local` starts a cluster of this machine, and stops it in the end.

    Raises:
        ConfigurationError: Ray is not installed, the cluster cannot be reached or failed, or a worker cannot measure.
    """
    ray = _ray()
    here = {"include_dashboard": False} if address == "local" else {}
    try:
        await asyncio.to_thread(ray.init, address, log_to_driver=False, logging_level="error", **here)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"--ray: there is no cluster at {address}: {error}") from error
    task = ray.remote(num_cpus=1)(_measured)
    shared = ray.put(setup)

    async def one(cell: Cell) -> None:
        measured: Measured | str = await task.remote(cell, shared)
        if isinstance(measured, str):
            raise ConfigurationError(f"a worker: {measured}")
        keep(measured)

    try:
        await together(map(one, cells))
    except ray.exceptions.RayError as error:
        raise ConfigurationError(f"--ray: the cluster at {address} failed: {error}") from error
    finally:
        await asyncio.to_thread(ray.shutdown)


def _ray() -> Any:
    # Where RANTS is run by uv, Ray would have uv install it anew for each worker; and it would tell its makers.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise ConfigurationError("--ray: Ray is not installed: uv sync --extra ray") from error
    return ray


class _Worker:
    """What a worker's process keeps between cells: its event loop, and the models of the last one."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._model: str | None = None
        self._backends: Backends | None = None

    def measure(self, cell: Cell, setup: Setup) -> Measured:
        """See `evals.measuring.measure`."""
        return self._runner.run(self._measure(cell, setup))

    async def _measure(self, cell: Cell, setup: Setup) -> Measured:
        if self._backends is None or self._model != cell.model:
            if self._backends is not None:
                await self._backends.aclose()
            self._backends, self._model = None, cell.model
            self._backends = await setup.opened(cell.model)
        return await measure(cell, setup, self._backends)


_worker: list[_Worker] = []


def _measured(cell: Cell, setup: Setup) -> Measured | str:
    """What a worker does, or in words why it cannot. Our errors take more than words to make, as unpickling would."""
    if not _worker:
        _worker.append(_Worker())
    try:
        return _worker[0].measure(cell, setup)
    except RantsError as error:
        return str(error)
