"""Two runs over the same tasks, task by task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from evals.intervals import Mean, mean
from evals.results import Result
from programs.errors import ConfigurationError

type _Key = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True)
class Joined:
    """The tasks of one benchmark and length with one strategy, as they went in run `a` and in run `b`.

    Attributes:
        benchmark, tokens, strategy: as in `Cell`.
        model: of `b`.
        tasks: that both runs have.
        a, b: mean scores, 0 to 1.
        difference: of the scores, `b` less `a`, task by task.
        wins: tasks that `b` scores higher in.
        losses: tasks that `a` scores higher in.
        cost: the tokens of all model calls of `b`, in those of `a`; None where `a` had none.
    """

    benchmark: str
    tokens: int
    strategy: str
    model: str
    tasks: int
    a: float
    b: float
    difference: Mean
    wins: int
    losses: int
    cost: float | None


def join(a: Sequence[Result], b: Sequence[Result]) -> list[Joined]:
    """Both runs' results for the tasks that both have. Where each run has one model, the models may differ.

    Args:
        a: of one run.
        b: of the other.

    Raises:
        ConfigurationError: they have no task in common, or ask something else of one that seems to be the same.
    """
    whatever = all(len({result.cell.model for result in results}) == 1 for results in (a, b))
    ones, others = _by_task(a, whatever=whatever), _by_task(b, whatever=whatever)
    both = [key for key in ones if key in others]
    if not both:
        also = "" if whatever else " and model (where a folder has several models, each needs the same name in both)"
        raise ConfigurationError(
            f"the folders have nothing in common: no cell of the same benchmark, length, strategy, seed{also}"
        )
    groups: dict[_Key, list[tuple[Result, Result]]] = {}
    for key in both:
        one, other = ones[key], others[key]
        if (one.question, one.answer) != (other.question, other.answer):
            raise ConfigurationError(
                f"seed {one.cell.seed} of {one.cell.benchmark} at {one.cell.tokens:,} tokens is another task in each "
                "folder: run both with the same version and the same question data"
            )
        cell = other.cell
        groups.setdefault((cell.benchmark, cell.tokens, cell.strategy, cell.model), []).append((one, other))
    strategies = [*dict.fromkeys(strategy for _, _, strategy, _ in groups)]
    ordered = sorted(groups, key=lambda key: (key[0], key[1], strategies.index(key[2]), key[3]))
    return [_joined(key, groups[key]) for key in ordered]


def _by_task(results: Iterable[Result], *, whatever: bool) -> dict[tuple[str, int, str, int, str], Result]:
    return {
        (cell.benchmark, cell.tokens, cell.strategy, cell.seed, "" if whatever else cell.model): result
        for result in results
        for cell in (result.cell,)
    }


def _joined(key: _Key, pairs: Sequence[tuple[Result, Result]]) -> Joined:
    benchmark, tokens, strategy, model = key
    differences = [other.score - one.score for one, other in pairs]
    spent = sum(one.prompt + one.completion for one, _ in pairs)
    return Joined(
        benchmark=benchmark,
        tokens=tokens,
        strategy=strategy,
        model=model,
        tasks=len(pairs),
        a=fmean(one.score for one, _ in pairs),
        b=fmean(other.score for _, other in pairs),
        difference=mean(differences, -1, 1),
        wins=sum(difference > 0 for difference in differences),
        losses=sum(difference < 0 for difference in differences),
        cost=sum(other.prompt + other.completion for _, other in pairs) / spent if spent else None,
    )
