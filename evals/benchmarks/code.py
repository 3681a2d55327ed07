"""`code`: questions with four choices about a repository, in the way of LongBench-v2's (arXiv 2412.15204)."""

from __future__ import annotations

from evals.benchmarks.benchmark import Benchmark
from evals.tasks import Task, code
from evals.tasks.choices import letter_of


def right(task: Task, reply: str) -> bool:
    """Whether the reply means the right letter and no other."""
    return letter_of(reply) == task.answer


def score(task: Task, reply: str) -> float:
    """1 where the reply is right, else 0."""
    return float(right(task, reply))


CODE = Benchmark(
    name="code",
    what="one of four choices about the files of a repository",
    make=code.make,
    score=score,
    right=right,
)
