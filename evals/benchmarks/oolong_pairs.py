"""`oolong-pairs`: all pairs of users that fit a condition, by labels that no line says (arXiv 2512.24601, appendix)."""

from __future__ import annotations

from pathlib import Path

from evals.benchmarks.benchmark import Benchmark
from evals.benchmarks.oolong import instances_of
from evals.tasks import Task, pairs
from evals.tasks.lines import lines_in
from evals.tasks.scoring import right_pairs, score_pairs


def _make(seed: int, tokens: int, data: Path | None) -> Task:
    instances = instances_of(seed, data)
    return pairs.make(seed, lines_in(tokens, instances), instances=instances)


OOLONG_PAIRS = Benchmark(
    name="oolong-pairs",
    what="all pairs of users that fit a condition on labels that no line says",
    make=_make,
    score=score_pairs,
    right=right_pairs,
)
