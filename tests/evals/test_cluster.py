"""`rants eval NAME --ray`: what a worker does, and a cluster of this machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from evals.cluster import Worker, on_cluster
from evals.measuring import Measured, Setup
from evals.reading import read
from evals.run import grid
from evals.scripted import ScriptedBackend
from programs.errors import ConfigurationError
from programs.settings import BudgetSettings
from tests.evals.test_run import IMPATIENT, TOKENS, environment, finds, models, run, without_times


def setup(backend: ScriptedBackend) -> Setup:
    return Setup("s-niah", models(backend), BudgetSettings(seconds=30), None, IMPATIENT)


async def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with ScriptedBackend(finds) as backend:
        cells = [*grid("s-niah", ["scripted"], [TOKENS], [0], ["flat"])]
        with pytest.raises(ConfigurationError, match="uv sync --extra ray"):
            await on_cluster(cells, setup(backend), print, address="local")


def test_a_worker_measures_cell_after_cell_with_the_same_models() -> None:
    cells = [*grid("s-niah", ["scripted"], [TOKENS], range(2), ["flat", "explore-1"])]
    with ScriptedBackend(finds) as backend, closing(Worker()) as worker:
        done = [worker.measured(cell, setup(backend)) for cell in cells]
        assert sum(request.path.endswith("/models") for request in backend.requests) == 1
    assert [isinstance(measured, Measured) and measured.result.cell for measured in done] == cells
    assert all(isinstance(measured, Measured) and measured.result.right for measured in done)


def test_a_worker_says_why_it_cannot_measure() -> None:
    (cell,) = grid("s-niah", ["scripted"], [TOKENS], [0], ["flat"])
    with ScriptedBackend(finds) as backend, closing(Worker()) as worker:
        with backend.away():
            assert "the generator backend" in str(worker.measured(cell, setup(backend)))
        assert isinstance(worker.measured(cell, setup(backend)), Measured)


@pytest.mark.slow
def test_a_cluster_measures_what_this_process_measures(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: uv sync --all-extras")
    asked = ["s-niah", "--lengths", "1k", "--count", "3", "--strategies", "flat,explore-1", "--out", str(tmp_path)]
    with ScriptedBackend(finds) as backend:
        there = {name: value for name, value in os.environ.items() if not name.startswith("RANTS_")}
        done = subprocess.run(
            [Path(sys.executable).with_name("rants"), "eval", *asked, "--ray", "local"],
            cwd=tmp_path,
            env={**there, **environment(backend)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        count = len(backend.calls)
        alone = asyncio.run(run(tmp_path / "alone", models(backend), lengths=[1_024], seeds=range(1000, 1003)))
        assert len(backend.calls) == 2 * count
    found = {result.cell: result for result in read(tmp_path)}
    measured = [found[result.cell] for result in alone]
    assert without_times(measured) == without_times(alone)
    assert all((tmp_path / result.trace).exists() for result in measured if result.trace)
