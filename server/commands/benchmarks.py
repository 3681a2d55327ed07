"""`rants eval NAME`: one benchmark over models, lengths and strategies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from server.commands.models import named

NAMES: Mapping[str, str] = {
    "s-niah": "One number that one sentence tells.",
    "s-niah-8": "One number that one sentence tells, among eight for other keys.",
    "oolong": "How common labels are that no line says.",
    "oolong-pairs": "All pairs of users that fit a condition on labels that no line says.",
    "code": "One of four choices about the files of a repository.",
}
"""The benchmarks, and what each asks for: here, so that `rants --help` does not wait for them."""


def add_to(app: typer.Typer) -> None:
    """A command for each benchmark."""
    for name, what in NAMES.items():
        whole = f"{what} Measures strategies over lengths; a run goes on from its folder."
        app.command(name, help=whole, short_help=what)(_of(name))


def _of(name: str) -> Any:
    def run(
        *,
        model: Annotated[
            list[str] | None,
            typer.Option(
                help="A name of the catalogue, or a path of a .gguf file; may be repeated; by default the configured."
            ),
        ] = None,
        lengths: Annotated[str, typer.Option(help="Of the contexts, in tokens.")] = "8k,32k,128k",
        strategies: Annotated[
            str, typer.Option(help="By name, a wrong one lists all; explore-1@FILE has a saved program.")
        ] = ("flat,truncation,bm25,direct,explore-1"),
        count: Annotated[int, typer.Option(min=1, help="Tasks of each length.")] = 5,
        seed: Annotated[
            int, typer.Option(min=0, help="Of the first task. Those from 1000 on are held out from optimisation.")
        ] = 1000,
        out: Annotated[
            Path | None, typer.Option(help="A folder for the results; by default var/evals/ and the benchmark's name.")
        ] = None,
        parallel: Annotated[int, typer.Option(min=1, help="So many at once.")] = 1,
        seconds: Annotated[float, typer.Option(min=0.001, help="For each answer.")] = 120.0,
        calls: Annotated[int | None, typer.Option(min=1, help="Of models, for each answer.")] = None,
        tokens: Annotated[int | None, typer.Option(min=1, help="In and out, for each answer.")] = None,
        data: Annotated[
            str | None,
            typer.Option(help="A file or folder with the benchmark's question data, or hub:OWNER/DATASET/FILE."),
        ] = None,
        ray: Annotated[
            str | None,
            typer.Option(help="Measure on the Ray cluster at this address; `local` starts one on this machine."),
        ] = None,
    ) -> None:
        from evals import report
        from evals.data import data_at
        from evals.lengths import read_lengths
        from evals.run import evaluate
        from evals.summary import table_of
        from server.settings import Settings

        try:
            sizes = read_lengths(lengths)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--lengths") from error
        settings = Settings.load()
        # All loops have as many turns, the peers' too.
        turns = settings.rlm.rants_one.max_iterations
        limits = {"seconds": seconds, "model_calls": calls, "tokens": tokens, "iterations": turns}
        given = {key: limit for key, limit in limits.items() if limit is not None}
        folder = out or Path("var/evals") / name
        run = evaluate(
            name,
            named(settings, model or ()),
            lengths=sizes,
            strategies=[word.strip() for word in strategies.split(",")],
            seeds=range(seed, seed + count),
            budget=settings.rlm.rants_one.budget.model_copy(update=given),
            out=folder,
            data=None if data is None else data_at(data),
            parallel=parallel,
            resilience=settings.resilience,
            ray=ray,
        )
        err = Console(stderr=True, highlight=False, soft_wrap=True)
        try:
            results = asyncio.run(run)
        except KeyboardInterrupt:
            err.print(f"Interrupted. What is done is in {folder}; the same command goes on from there.", markup=False)
            raise typer.Exit(130) from None
        Console(width=120).print(table_of(results, f"{name}, {count} tasks of each length"))
        print(f"The report: {report.write(folder)}")

    return run
