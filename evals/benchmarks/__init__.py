"""The benchmarks of `rants eval`, by name: tasks of any length from a seed, scored as their papers score."""

from evals.benchmarks.benchmark import Benchmark

__all__ = ["Benchmark"]
