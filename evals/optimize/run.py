"""`rants optimize`: better instructions and demonstrations for a predictor, found with DSPy's optimisers."""

from __future__ import annotations

import logging
import math
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import dspy
from dspy.utils.exceptions import LMError
from pydantic import JsonValue

from evals.benchmarks import Benchmark
from evals.caching import Cache
from evals.optimize.optimizers import OPTIMIZERS, Search, look
from evals.optimize.report import Measured, Report
from evals.optimize.sets import SIZES, Sets, Sizes, of_benchmark, of_cases
from evals.optimize.student import Student
from evals.optimize.targets import Target, compiled, target_of, wanted
from evals.optimize.work import Halted, Program, Spent, Work
from programs import RANTS, Backends, save_program
from programs.backends import Role, run_sync, translate
from programs.errors import ConfigurationError
from programs.settings import LoopSettings, ModelsSettings, ResilienceSettings


def optimize(
    name: str,
    optimizer: str,
    out: Path,
    *,
    models: ModelsSettings,
    teacher: ModelsSettings | None = None,
    resilience: ResilienceSettings | None = None,
    loop: LoopSettings | None = None,
    program: Path | None = None,
    benchmark: Benchmark | None = None,
    data: Path | None = None,
    tokens: int = 8192,
    cases: Path | None = None,
    sizes: Sizes = SIZES,
    calls: int = 200,
    minutes: float = math.inf,
    demos: int = 3,
    seed: int = 0,
    concurrency: int = 1,
    folder: Path | None = None,
) -> Report:
    """Optimise a predictor, and save the better program if there is one. Blocks.

    Args:
        name: of a target: see `TARGETS`.
        optimizer: its name: see `OPTIMIZERS`.
        out: where the program goes.
        models: those that are asked.
        teacher: those of which the target's role shows how it is done, proposes instructions and reflects; by default
            the same.
        resilience: time-outs of a backend over HTTP.
        loop: how RANTS runs; its mode is the target's.
        program: what is there to begin with; by default what comes with RANTS.
        benchmark: whose tasks are to be done; for a target that has predictors for it.
        data: for the benchmark's `make`.
        tokens: about how long the context of a task is.
        cases: a file of tool calls, in place of a benchmark.
        sizes: of the sets.
        calls: how many jobs may be done for the development set's and the optimiser's sake. The two looks at the test
            set come on top.
        minutes: how long that may take; what was found until then is kept.
        demos: the most demonstrations to add.
        seed: of the jobs, and of the optimiser.
        concurrency: jobs at once. With more than one a repetition may not take the same way.
        folder: what models have answered is kept here; by default beside `out`. The same optimisation goes on from
            there.

    Raises:
        ConfigurationError: there is no such target, optimiser, file or model, or they do not go together.
        BackendError, EnvironmentUnavailable: a model or the environment failed.
    """
    target = target_of(name)
    if optimizer not in OPTIMIZERS:
        raise ConfigurationError(f"there is no optimiser {optimizer!r}; there are {', '.join(OPTIMIZERS)}")
    names, sets = _task(target, benchmark, cases, sizes, tokens=tokens, seed=seed, data=data)
    settings = (loop or LoopSettings()).model_copy(update={"mode": target.mode})
    backends = Backends(models, resilience)
    teaching = Backends(teacher, resilience) if teacher is not None else backends
    rants = RANTS(backends, settings, program=program)
    kept = folder or out.with_suffix(".work")
    logging.getLogger("dspy").setLevel(logging.ERROR)
    try:
        with Cache(kept) as cache:
            work = Work(sets.all, tuple(sets.dev), cache, calls=calls, minutes=minutes)
            student = Student(rants, backends, names, work)
            showing = student if teacher is None else Student(rants, teaching, names, work, who="teacher")
            search = Search(
                student=student.deepcopy(),
                teacher=showing,
                lm=teaching.through(cache.cell(f"proposals {optimizer} {seed}")).lm(target.role),
                train=tuple(sets.train),
                dev=tuple(sets.dev),
                calls=calls,
                demos=demos,
                seed=seed,
                concurrency=concurrency,
            )
            report, best = _searched(
                student, work, search, optimizer=optimizer, test=tuple(sets.test), role=target.role
            )
    finally:
        run_sync(backends.aclose())
        if teaching is not backends:
            run_sync(teaching.aclose())
    if report.better:
        student.become(best)
        about: dict[str, JsonValue] = {
            "rants": version("rants"),
            "dspy": version("dspy"),
            "optimizer": optimizer,
            "benchmark": benchmark.name if benchmark is not None else cases.name if cases is not None else "",
            "tokens": tokens if benchmark is not None else None,
            "model": _named(models, target),
            "teacher": _named(teacher or models, target),
            "seed": seed,
            "counts": {"train": len(sets.train), "dev": len(sets.dev), "test": len(sets.test), "calls": report.calls},
            "dev": {"before": report.before.score, "after": report.after.score},
            "test": {"before": str(report.test_before), "after": str(report.test_after)},
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        save_program(rants, out, predictors=names, made_by=about)
    return report


def _task(
    target: Target,
    benchmark: Benchmark | None,
    cases: Path | None,
    sizes: Sizes,
    *,
    tokens: int,
    seed: int,
    data: Path | None,
) -> tuple[tuple[str, ...], Sets]:
    """What is optimised, and by which jobs.

    Raises:
        ConfigurationError: the target is not for that, or the jobs cannot be made.
    """
    if (benchmark is None) == (cases is None):
        raise ConfigurationError("say by what to optimise: either --benchmark NAME or --cases FILE")
    if benchmark is not None and target.asked:
        return target.asked, of_benchmark(benchmark, sizes, tokens=tokens, seed=seed, data=data)
    if cases is not None and target.compiled:
        job = compiled if target.role == "tool_compiler" else wanted
        return target.compiled, of_cases(cases, sizes, seed=seed, job=job)
    takes = "--cases FILE" if target.compiled else "--benchmark NAME"
    raise ConfigurationError(f"{target.name} is optimised with {takes}")


def _searched(
    student: Student, work: Work, search: Search, *, optimizer: str, test: tuple[str, ...], role: Role
) -> tuple[Report, Program]:
    """Look at what is there, have the optimiser search, and look at the best that it has found.

    Raises:
        RantsError: what halted it.
    """
    first = student.program
    ended: str | None = None
    # What optimisers print is no result.
    with redirect_stdout(sys.stderr), dspy.context(lm=search.lm, disable_history=True):
        try:
            try:
                look(student, search.dev, search.concurrency)
                OPTIMIZERS[optimizer](search)
            except Spent as spent:
                ended = spent.what
            finally:
                work.settle()
            if work.mean(first) is None:
                raise ConfigurationError(
                    "the budget ended before the development set was done once: allow for more calls or minutes, or"
                    " make that set smaller"
                )
            best = work.best(first)
            work.bounded = False
            looks = {}
            for name, program in (("first", first), ("best", best)):
                student.become(program)
                look(student, test, search.concurrency)
                looks[name] = Measured.of(work.on(student.program, test))
        except Halted as halted:
            assert halted.__cause__ is not None
            raise halted.__cause__ from None
        except LMError as error:  # of a proposal: jobs tell theirs by themselves
            raise translate(error, role=role) from error
    report = Report(
        before=Measured.of(work.on(first, work.dev)),
        after=Measured.of(work.on(best, work.dev)),
        test_before=looks["first"],
        test_after=looks["best"] if best is not first else None,
        calls=work.calls,
        ended=ended,
    )
    return report, best


def _named(models: ModelsSettings, target: Target) -> str:
    """What the model is called that plays the target's role."""
    entry = getattr(models, target.role) or models.generator
    return entry.model or "the first it lists"
