"""What a benchmark is: tasks of any length from a seed, and how a reply to one is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evals.tasks import Task

type Make = Callable[[int, int, Path | None], Task]
"""From a seed, about how many tokens the context has, and where question data is (None: made up, or at hand)."""

type Score = Callable[[Task, str], float]
"""From a task and a reply, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Tasks of one kind.

    Attributes:
        name: on the command line.
        what: it asks for, in a few words.
        make: makes a task; the same arguments always make the same one.
        score: as the benchmark's paper scores.
        right: whether a reply is wholly right: stricter than a score where that gives something for less.
    """

    name: str
    what: str
    make: Make
    score: Score
    right: Callable[[Task, str], bool]
