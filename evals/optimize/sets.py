"""Which jobs an optimiser learns from, by which a program is chosen, and on which it is tried in the end.

    train   what demonstrations are made of, and what a reflecting model is told of
    dev     by which the best of the programs is chosen
    test    seen once before and once after: what is reported

No two have a job in common. Of a benchmark, tasks are made from seeds: the test's are those from 1000, which are also
the first that `rants eval` takes; those of training and development begin at a million and at two, and another `--seed`
moves them by ten thousand. Of a file of cases, the held-out half (`rants eval tools --half held-out`) is the test, and
the other half is dealt out to training and development.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evals.benchmarks import Benchmark
from evals.optimize.targets import asked
from evals.optimize.work import Job
from evals.tools.cases import Case, choose, dealt, read
from programs.errors import ConfigurationError

TEST, TRAIN, DEV = 1_000, 1_000_000, 2_000_000
_APART = 10_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs each set has, at most."""

    train: int
    dev: int
    test: int


SIZES = Sizes(20, 20, 20)


@dataclass(frozen=True, slots=True)
class Sets:
    """The three sets: jobs by name."""

    train: dict[str, Job]
    dev: dict[str, Job]
    test: dict[str, Job]

    @property
    def all(self) -> dict[str, Job]:
        """The jobs of all three."""
        return self.train | self.dev | self.test


def of_benchmark(benchmark: Benchmark, sizes: Sizes, *, tokens: int, seed: int, data: Path | None = None) -> Sets:
    """Sets of a benchmark's tasks.

    Args:
        benchmark: makes them.
        sizes: of the sets.
        tokens: about how long each context is.
        seed: moves training and development to other tasks.
        data: for the benchmark's `make`.

    Raises:
        ConfigurationError: a set is too large, or the benchmark's data cannot be read.
    """
    if max(sizes.train, sizes.dev) > _APART:
        raise ConfigurationError(f"a set has at most {_APART:,} tasks: take fewer of --train and --dev")

    def tasks(first: int, count: int) -> dict[str, Job]:
        seeds = range(first, first + count)
        made = {number: benchmark.make(number, tokens, data) for number in seeds}
        return {f"{benchmark.name}/{tokens}/{number}": asked(benchmark, task) for number, task in made.items()}

    moved = seed * _APART
    return Sets(tasks(TRAIN + moved, sizes.train), tasks(DEV + moved, sizes.dev), tasks(TEST, sizes.test))


def of_cases(path: Path, sizes: Sizes, *, seed: int, job: Callable[[Case], Job]) -> Sets:
    """Sets of a file's cases.

    Args:
        path: the file.
        sizes: of the sets.
        seed: chooses the halves.
        job: what is to be done with a case.

    Raises:
        ConfigurationError: the file cannot be read, or holds too few cases.
    """
    cases = read(path)
    held_out = choose(cases, seed=seed, count=sizes.test, half="held-out")
    train, dev = dealt(choose(cases, seed=seed, half="development"))
    some = (train[: sizes.train], dev[: sizes.dev], held_out)
    sets = Sets(*({case.id: job(case) for case in these} for these in some))
    if not (sets.train and sets.dev and sets.test):
        raise ConfigurationError(
            f"{path} holds {len(cases)} cases: too few to learn from some, choose by others and test"
        )
    return sets
