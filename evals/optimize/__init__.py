"""`rants optimize`: instructions and demonstrations are searched for with DSPy's optimisers, and kept as a program.

report = optimize("explore", "gepa", Path("program.json"), models=models, benchmark=BENCHMARKS["s-niah"])
"""

from evals.optimize.optimizers import OPTIMIZERS
from evals.optimize.report import Report
from evals.optimize.run import optimize
from evals.optimize.sets import Sizes
from evals.optimize.targets import TARGETS

__all__ = ["OPTIMIZERS", "TARGETS", "Report", "Sizes", "optimize"]
