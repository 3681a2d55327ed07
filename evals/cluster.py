"""Cells as tasks of a Ray cluster: its workers measure, this process writes down.

RANTS must be installed on all its machines, the same version of it. What a worker needs is sent to it, keys of the
models included; the task it makes by itself, so that question data must be there, too, under the same path.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable, Sequence
from functools import cache
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
    except Exception as error:  # which is what it raises where a node does not start
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


class Worker:
    """What a worker's process keeps between cells: its event loop, and the models of the last one."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._model: str | None = None
        self._backends: Backends | None = None

    def measured(self, cell: Cell, setup: Setup) -> Measured | str:
        """What was measured; or in words why nothing can be, for an error of ours is not made again from its words."""
        try:
            return self._runner.run(self._measure(cell, setup))
        except RantsError as error:
            return str(error)

    def close(self) -> None:
        """Let go of everything."""
        self._runner.run(self._let_go())
        self._runner.close()

    async def _measure(self, cell: Cell, setup: Setup) -> Measured:
        if self._backends is None or self._model != cell.model:
            await self._let_go()
            self._backends, self._model = await setup.opened(cell.model), cell.model
        return await measure(cell, setup, self._backends)

    async def _let_go(self) -> None:
        backends, self._backends = self._backends, None
        if backends is not None:
            await backends.aclose()


@cache
def _worker() -> Worker:
    """The one of this process."""
    worker = Worker()
    atexit.register(worker.close)
    return worker


def _measured(cell: Cell, setup: Setup) -> Measured | str:
    return _worker().measured(cell, setup)
