"""`rants optimize`: better instructions and demonstrations for a predictor, as a program that the server loads."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from server.commands.models import models_of

if TYPE_CHECKING:
    from evals.optimize import Report

out_ = Console(highlight=False, soft_wrap=True)


class What(StrEnum):
    """What can be optimised: see `evals.optimize.TARGETS`."""

    EXPLORE = "explore"
    COMPILE_TOOLS = "compile-tools"
    GENERATE = "generate"


class How(StrEnum):
    """DSPy's optimisers: see `evals.optimize.OPTIMIZERS`."""

    BOOTSTRAP = "bootstrap"
    GEPA = "gepa"
    MIPROV2 = "miprov2"


def optimize(
    predictor: Annotated[What, typer.Argument(help="Whose prompts are to become better.")],
    *,
    out: Annotated[Path, typer.Option(help="Where the program goes, a .json file: see rlm.program.")],
    optimizer: Annotated[How, typer.Option(help="Demonstrations only, or instructions too.")] = How.BOOTSTRAP,
    benchmark: Annotated[
        str | None, typer.Option(help="Whose tasks are to be done better, for explore and generate: s-niah, ...")
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, help="About how long a task's context is.")] = 8192,
    data: Annotated[
        str | None, typer.Option(help="The benchmark's question data: a path, or hub:OWNER/DATASET/FILE.")
    ] = None,
    cases: Annotated[
        Path | None, typer.Option(help="Tool calls that are to be right, as for `rants eval tools`.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Of the catalogue, a .gguf file, or a name that the configured server knows; by default the"
            " configured."
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="Named like --model: shows how it is done, proposes, reflects; by default itself."),
    ] = None,
    budget_calls: Annotated[int, typer.Option(min=1, help="Tasks that may be done until a program is chosen.")] = 200,
    minutes: Annotated[float | None, typer.Option(min=0, help="How long that may take.")] = None,
    train: Annotated[int, typer.Option(min=1, help="Tasks to learn from.")] = 20,
    dev: Annotated[int, typer.Option(min=1, help="Tasks to choose by.")] = 20,
    test: Annotated[int, typer.Option(min=1, help="Tasks that tell its worth.")] = 20,
    demos: Annotated[int, typer.Option(min=1, help="The most demonstrations to add.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the tasks, and of the optimiser.")] = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="Tasks at once.")] = 1,
    work: Annotated[
        Path | None, typer.Option(help="Where replies are kept, from which the same command goes on; beside --out.")
    ] = None,
) -> None:
    """Search for better instructions and demonstrations, and keep them as a program if they are better.

    It begins with what rlm.program names, or with what comes with RANTS.
    """
    from evals.benchmarks import BENCHMARKS
    from evals.data import data_at
    from evals.optimize import Sizes, optimize
    from server.settings import Settings

    settings = Settings.load()
    if benchmark is not None and benchmark not in BENCHMARKS:
        raise typer.BadParameter(f"there are {', '.join(BENCHMARKS)}", param_hint="--benchmark")
    report = optimize(
        predictor.value,
        optimizer.value,
        out,
        models=models_of(settings, model),
        teacher=None if teacher is None else models_of(settings, teacher),
        resilience=settings.resilience,
        loop=settings.rlm.rants_one,
        program=settings.rlm.program,
        benchmark=None if benchmark is None else BENCHMARKS[benchmark],
        data=None if data is None else data_at(data),
        tokens=tokens,
        cases=cases,
        sizes=Sizes(train, dev, test),
        calls=budget_calls,
        minutes=math.inf if minutes is None else minutes,
        demos=demos,
        seed=seed,
        concurrency=concurrency,
        folder=work,
    )
    _tell(report, out)


def _tell(report: Report, out: Path) -> None:
    ended = {
        "calls": "the budget of tasks ended it",
        "minutes": "its minutes ended it",
        "perfect": "a program does all that it is chosen by",
        None: "the optimiser was done",
    }
    out_.print(f"{report.calls} tasks were done; {ended[report.ended]}.")
    if report.test_after is None:
        out_.print(f"dev    {report.before}")
        out_.print(f"test   {report.test_before}")
        out_.print(f"Nothing was better than what is there, so nothing was saved as {escape(str(out))}.")
        return
    out_.print(f"dev    before: {report.before}\n       after:  {report.after}")
    out_.print(f"test   before: {report.test_before}\n       after:  {report.test_after}")
    out_.print(f"[bold]{escape(str(out))}[/bold] is the better one. To serve it, set rlm.program (RANTS_RLM__PROGRAM).")
