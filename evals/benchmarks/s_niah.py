"""`s-niah`: RULER's single needle in a haystack (arXiv 2404.06654); `s-niah-8` hides eight needles for other keys, too.

The haystack is prose that is made up, or, as in RULER's essays, that of a text file: from a sentence that the seed
chooses, and from the file's beginning again where it is too short.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from evals.benchmarks.benchmark import Benchmark
from evals.tasks import Task, needle
from evals.tasks.prose import read_prose


def _make(seed: int, tokens: int, data: Path | None, *, distractors: int) -> Task:
    return needle.make(seed, tokens, distractors, prose=() if data is None else read_prose(data))


def score(task: Task, reply: str) -> float:
    """1 where the answer is somewhere in the reply, as RULER matches strings; else 0."""
    return float(task.answer.lower() in reply.lower())


S_NIAH = Benchmark(
    name="s-niah",
    what="one number that one sentence tells",
    make=partial(_make, distractors=0),
    score=score,
    right=needle.is_right,
)

S_NIAH_8 = Benchmark(
    name="s-niah-8",
    what="one number that one sentence tells, among eight for other keys",
    make=partial(_make, distractors=8),
    score=score,
    right=needle.is_right,
)
