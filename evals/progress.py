"""How far an evaluation is: on standard error, a bar for each strategy with its score so far."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evals.results import Result


class Bars:
    """Shown inside `with`.

    Args:
        strategies: by name.
        count: cells of each.
    """

    def __init__(self, strategies: Sequence[str], count: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._tasks = {name: self._progress.add_task(name, total=count, score="") for name in strategies}
        self._scores: dict[str, list[float]] = {name: [] for name in strategies}
        self._failed = dict.fromkeys(strategies, 0)

    def add(self, result: Result) -> None:
        """Count a result."""
        name = result.cell.strategy
        scores = self._scores[name]
        scores.append(result.score)
        self._failed[name] += result.failure is not None
        failed = f", {self._failed[name]} failed" if self._failed[name] else ""
        score = f"score {100 * sum(scores) / len(scores):.1f}{failed}"
        self._progress.update(self._tasks[name], advance=1, score=score)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
