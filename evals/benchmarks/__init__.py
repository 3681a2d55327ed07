"""The benchmarks of `rants eval`, by name: tasks of any length from a seed, scored as their papers score."""

from collections.abc import Mapping

from evals.benchmarks.benchmark import Benchmark
from evals.benchmarks.oolong import OOLONG
from evals.benchmarks.oolong_pairs import OOLONG_PAIRS

BENCHMARKS: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in (OOLONG, OOLONG_PAIRS)}

__all__ = ["BENCHMARKS", "Benchmark"]
