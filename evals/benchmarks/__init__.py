"""The benchmarks of `rants eval`, by name: tasks of any length from a seed, scored as their papers score."""

from collections.abc import Mapping

from evals.benchmarks.benchmark import Benchmark
from evals.benchmarks.code import CODE
from evals.benchmarks.oolong import OOLONG
from evals.benchmarks.oolong_pairs import OOLONG_PAIRS
from evals.benchmarks.s_niah import S_NIAH, S_NIAH_8

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (S_NIAH, S_NIAH_8, OOLONG, OOLONG_PAIRS, CODE)
}

__all__ = ["BENCHMARKS", "Benchmark"]
