"""`rants eval`: measure how often RANTS is right."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from server.commands import benchmarks
from server.commands.models import models_of

app = typer.Typer(no_args_is_help=True, help="Measure how often RANTS is right.")


class Half(StrEnum):
    """Which half of the cases: what is tried on one is reported on the other."""

    DEVELOPMENT = "development"
    HELD_OUT = "held-out"


@app.command()
def tools(
    *,
    cases: Annotated[Path, typer.Option(help="A file of cases, one a line, as evals/tools/cases.py describes them.")],
    model: Annotated[
        str | None, typer.Option(help="A name of the catalogue, or a path of a .gguf file; by default the configured.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="At most so many cases.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only cases of this one; may be repeated.")] = None,
    half: Annotated[Half | None, typer.Option(help="Only one half of the cases.")] = None,
    own: Annotated[bool, typer.Option(help="Ask the model by itself, too.")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the cases.")] = 0,
    out: Annotated[Path | None, typer.Option(help="A folder for the results; a run goes on from there.")] = None,
    program: Annotated[
        Path | None, typer.Option(help="Of `rants optimize`; by default rlm.program, if there is one.")
    ] = None,
) -> None:
    """See how often the tool compiler calls what is right, beside the same model's own function calling."""
    from evals.tools import tools
    from server.settings import Settings

    settings = Settings.load()
    run = tools(
        cases,
        models_of(settings, model),
        settings.resilience,
        seed=seed,
        count=count,
        categories=category or (),
        half=None if half is None else half.value,
        own=own,
        out=out,
        program=program or settings.rlm.program,
    )
    asyncio.run(run)


@app.command()
def fidelity(
    *,
    error_rate: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Of the labels that the models in it give; by default 0 and 0.1."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Tasks of each size.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of the first task.")] = 0,
    data: Annotated[
        str | None, typer.Option(help="JSON Lines with a `question` and its `label`; by default they are made up.")
    ] = None,
) -> None:
    """See that RANTS adds nothing to the mistakes of the models in it, in texts of up to a million tokens."""
    from evals.data import data_at
    from evals.fidelity import fidelity

    rates = error_rate or (0.0, 0.1)
    asyncio.run(fidelity(rates, count=count, seed=seed, data=None if data is None else data_at(data)))


@app.command()
def turns(
    *,
    out: Annotated[Path, typer.Option(help="A folder for the results; a run goes on from there.")],
    url: Annotated[
        str | None, typer.Option(help="Of a server that is up, with /v1; by default RANTS is started.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="For the server at --url.")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --url what it is asked for; else a name of the catalogue, or a path of a .gguf file."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many conversations.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the first.")] = 0,
    own: Annotated[bool, typer.Option(help="Without --url: ask the same weights by themselves, too.")] = True,
    window: Annotated[int, typer.Option(min=1024, help="Without --url: tokens of the model's window.")] = 8192,
) -> None:
    """See how often whole conversations with tools end as they should, beside the model's own tool calling."""
    from evals.turns import turns

    run = turns(out=out, url=url, api_key=api_key, model=model, count=count, seed=seed, own=own, window=window)
    asyncio.run(run)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A folder of results.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Set the results of two folders side by side, for the tasks that both have."""
    from rich.console import Console

    from evals.summary import compare

    Console(width=120).print(compare(a, b))


benchmarks.add_to(app)
