"""`rants db`: look after the database."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.callback()
def _group() -> None:
    """One command so far, and still called by its name."""


@app.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM_URL", help="sqlite:///PATH or postgresql://USER@HOST/NAME.")],
    target: Annotated[str, typer.Argument(metavar="TO_URL", help="Another one, which must be empty.")],
) -> None:
    """Copy everything of all tenants into another, empty database. Stop the servers on both first."""
    from pydantic import ValidationError

    from store import StateSettings
    from store.copying import copy as copy_all

    settings = []
    for name, url in (("FROM_URL", source), ("TO_URL", target)):
        try:
            settings.append(StateSettings.model_validate({"url": url}))
        except ValidationError as error:
            raise typer.BadParameter(error.errors()[0]["msg"], param_hint=name) from None
    counts = copy_all(*settings)
    for table, count in sorted(counts.items()):
        typer.echo(f"{count:12,} {table}")
    typer.echo(f"{sum(counts.values()):12,} rows are in {settings[1].place}. Put its URL into state.url.")
