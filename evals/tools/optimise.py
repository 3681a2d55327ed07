"""`rants eval optimise`: more demonstrations for the tool compiler, found with DSPy's BootstrapFewShot.

The compiler as it is plays the teacher: where it is right on a case, what it was asked and what it wrote is a
demonstration. They come from the development half; `rants eval tools --half held-out --program FILE` tells their worth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dspy

from evals.tools.cases import choose, read
from evals.tools.score import why_wrong
from programs import Backends
from programs.backends import run_sync
from programs.errors import ConfigurationError
from programs.settings import ModelsSettings, ResilienceSettings
from programs.tool_compiler import ToolCompiler


def optimise(
    cases: Path,
    models: ModelsSettings,
    resilience: ResilienceSettings | None = None,
    *,
    out: Path,
    seed: int = 0,
    count: int = 20,
    demonstrations: int = 2,
) -> int:
    """Bootstrap demonstrations from the development half of the cases, and save the program. Blocks.

    Args:
        cases: a file of them.
        models: `tool_compiler` is asked, or else the generator.
        resilience: time-outs of a backend over HTTP.
        out: the program, a `.json` file. It holds the cases that became demonstrations.
        seed: chooses the cases.
        count: at most so many cases are tried.
        demonstrations: to find, beside those that are there.

    Returns:
        How many were found.

    Raises:
        ConfigurationError: there is no such file or model, or `out` cannot be written.
        BackendError: the model fails.
    """
    chosen = choose(read(cases), seed=seed, count=count, half="development")
    trained = [dspy.Example(intent=case.intent, tools=case.tools, case=case) for case in chosen]
    backends = Backends(models, resilience)
    compiler = ToolCompiler(backends)
    search = dspy.BootstrapFewShot(
        metric=is_right, max_bootstrapped_demos=demonstrations, max_labeled_demos=0, max_errors=1
    )
    try:
        found = search.compile(compiler, trainset=[example.with_inputs("intent", "tools") for example in trained])
    finally:
        run_sync(backends.aclose())
    for (_, mine), (_, theirs) in zip(compiler.named_predictors(), found.named_predictors(), strict=True):
        # The calls by our own demonstrations are why the new ones were right; they stay, and come first.
        mine.demos = [*mine.demos, *theirs.demos]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        compiler.save(str(out))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot write the program: {error}") from error
    return len(found.compile.demos)


def is_right(example: dspy.Example, prediction: dspy.Prediction, trace: Any = None) -> bool:
    """The metric: the leaderboard's rule."""
    return why_wrong(example.case, prediction.calls) is None


def load(compiler: ToolCompiler, program: Path) -> None:
    """Give `compiler` the demonstrations and instructions of a saved program.

    Raises:
        ConfigurationError: there is no such file, or it is no program of a tool compiler.
    """
    try:
        compiler.load(str(program))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"cannot use the program {program}: {error}") from error
