"""`oolong`: questions about how common labels are, which no line says (arXiv 2511.02817, trec_coarse).

The questions that the lines hold are made up, or those of a file in the form that `read_instances` reads.
"""

from __future__ import annotations

from pathlib import Path

from evals.benchmarks.benchmark import Benchmark
from evals.tasks import Instance, Task, labels, made_up, read_instances
from evals.tasks.lines import lines_in
from evals.tasks.scoring import right_labels, score_labels

_MADE_UP = 6_000  # about as many as TREC has


def instances_of(seed: int, data: Path | None) -> list[Instance]:
    """The instances of a file; or, without one, some that are made up from the seed."""
    return made_up(seed, _MADE_UP) if data is None else read_instances(data)


def _make(seed: int, tokens: int, data: Path | None) -> Task:
    instances = instances_of(seed, data)
    return labels.make(seed, lines_in(tokens, instances), instances=instances)


OOLONG = Benchmark(
    name="oolong",
    what="how common labels are that no line says",
    make=_make,
    score=score_labels,
    right=right_labels,
)
