"""Results that differ in nothing but the task, taken together: what every table and plot of them shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from evals.intervals import Mean, mean
from evals.results import Result


@dataclass(frozen=True, slots=True)
class Row:
    """Tasks of one benchmark and length, with one strategy and model.

    Attributes:
        benchmark, tokens, strategy, model: as in `Cell`.
        tasks: how many there are.
        score: 0 to 1.
        floor: what a guess scores, 0 to 1.
        right: the share of replies that are wholly right.
        prompt, completion: tokens for a question; the median.
        model_calls: for a question; the median.
        seconds: for a question; the median.
        failures: how often each kind of failure came, or of early end; the most frequent first.
    """

    benchmark: str
    tokens: int
    strategy: str
    model: str
    tasks: int
    score: Mean
    floor: float
    right: float
    prompt: float
    completion: float
    model_calls: float
    seconds: float
    failures: tuple[tuple[str, int], ...]


def rows_of(results: Iterable[Result]) -> list[Row]:
    """The rows of these results, sorted by benchmark and length; strategies and models in the order of the results."""
    groups: dict[tuple[str, int, str, str], list[Result]] = {}
    for result in results:
        cell = result.cell
        groups.setdefault((cell.benchmark, cell.tokens, cell.strategy, cell.model), []).append(result)
    strategies = [*dict.fromkeys(strategy for _, _, strategy, _ in groups)]
    models = [*dict.fromkeys(model for _, _, _, model in groups)]
    keys = sorted(groups, key=lambda key: (key[0], key[1], strategies.index(key[2]), models.index(key[3])))
    return [_row(groups[key]) for key in keys]


def kind_of(result: Result) -> str | None:
    """How a result failed, or what ended it early; None where it went to its end."""
    return result.failure or result.stopped_by


def length(tokens: int) -> str:
    """A number of tokens in a few characters: 8192 and 8000 are `8k`, 1048576 is `1M`, 11796 is `11.8k`."""
    for unit, power in (("M", 2), ("k", 1)):
        for base in (1000, 1024):
            if tokens >= base**power and tokens % base**power == 0:
                return f"{tokens // base**power}{unit}"
    if tokens < 1000:
        return str(tokens)
    return f"{tokens / 1e6:.3g}M" if tokens >= 999_500 else f"{tokens / 1e3:.3g}k"


def _row(alike: Sequence[Result]) -> Row:
    cell = alike[0].cell
    kinds = Counter(kind for result in alike if (kind := kind_of(result)) is not None)
    return Row(
        benchmark=cell.benchmark,
        tokens=cell.tokens,
        strategy=cell.strategy,
        model=cell.model,
        tasks=len(alike),
        score=mean([result.score for result in alike]),
        floor=fmean(result.floor for result in alike),
        right=fmean(result.right for result in alike),
        prompt=median(result.prompt for result in alike),
        completion=median(result.completion for result in alike),
        model_calls=median(result.model_calls for result in alike),
        seconds=median(result.seconds for result in alike),
        failures=tuple(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
    )
