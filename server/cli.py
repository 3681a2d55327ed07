"""The `rants` command."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from server.commands import bench, db, demo, evaluate, keys, optimize, serving, sessions

if TYPE_CHECKING:
    from programs.transcript import Context
    from server.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(bench.app, name="bench")
app.add_typer(db.app, name="db")
app.add_typer(evaluate.app, name="eval")
app.add_typer(keys.app, name="keys")
app.add_typer(sessions.app, name="sessions")
app.command(name="demo")(demo.demo)
app.command(name="optimize")(optimize.optimize)


out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command; an error that the user can mend is one sentence, not a traceback."""
    try:
        app()
    except Exception as error:
        # Imported late, as everything here is: `rants --help` should not wait for dspy.
        from programs.errors import RantsError

        if not isinstance(error, RantsError):
            raise
        err.print(f"[red]rants:[/red] {escape(str(error))}")
        sys.exit(1)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that share the address and the store.")] = None,
    log_level: Annotated[
        str | None, typer.Option(help="debug, info, warning or error; by default warning, and info for logs in JSON.")
    ] = None,
) -> None:
    """Serve the OpenAI-compatible /v1 until interrupted."""
    # As variables they reach every worker, and hold when the configuration is reloaded.
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[f"RANTS_SERVER__{name}"] = str(value)
    serving.serve(_settings(), log_level)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    context: Annotated[list[str] | None, typer.Option(help="A file to ask about; - is standard input.")] = None,
    trace: Annotated[bool, typer.Option(help="Show the code that looks into the context, and what it finds.")] = False,
) -> None:
    """Answer one question in the terminal, without a server. The context may be far longer than any model's window."""
    settings = _settings()
    texts = [_read(name) for name in context or ()]
    asyncio.run(_ask(settings, question, texts if len(texts) > 1 else texts[0] if texts else None, trace=trace))


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{name}: {error}") from error


async def _ask(settings: Settings, question: str, context: Context | None, *, trace: bool) -> None:
    from programs import RANTS, Backends, Session
    from server.terminal import Terminal

    logging.getLogger("dspy").setLevel(logging.ERROR)
    backends = Backends(settings.models, settings.resilience)
    rants = RANTS(backends, settings.rlm.rants_one, program=settings.rlm.program)
    try:
        async with aclosing(rants.run(Session.asking("ask", question, context))) as events:
            await Terminal(err, trace=trace).show(events)
    finally:
        await backends.aclose()


@app.command()
def doctor() -> None:
    """Check the configuration, the database and every backend, and say what to mend."""
    settings = _settings()
    out.print("[green]ok[/green]   configuration")
    if not asyncio.run(_doctor(settings)):
        sys.exit(1)


async def _doctor(settings: Settings) -> bool:
    from programs import RANTS, Backends
    from programs.environment import shared
    from programs.errors import RantsError
    from programs.program import load_program
    from store import Store

    well = True

    def say(what: str, error: str | None, mend: str) -> None:
        nonlocal well
        if error is None:
            out.print(f"[green]ok[/green]   {escape(what)}")
        else:
            well = False
            out.print(f"[red]no[/red]   {escape(what)}: {escape(error)}\n     {escape(mend)}")

    path = settings.state.place
    mend = "Set state.sqlite_path (RANTS_STATE__SQLITE_PATH) to a file you can write."
    if settings.state.file is None:
        mend = "Correct state.url (RANTS_STATE__URL), or mend PostgreSQL."
    try:
        async with await Store.open(settings.state) as store:
            await store.check()
        say(f"database {path}", None, "")
    except RantsError as error:
        say(f"database {path}", str(error), mend)
    if (program := settings.rlm.program) is not None:
        try:
            say(f"program {program}: {', '.join(load_program(RANTS(), program).predictors)}", None, "")
        except RantsError as error:
            say(f"program {program}", str(error), "Until then take rlm.program (RANTS_RLM__PROGRAM) out.")
    environment = shared(settings.rlm.rants_one.environment)
    try:
        await environment.start()
        say(f"environment {environment.name}", None, "")
    except RantsError as error:
        mend = "Until it works, only what fits the generator's window can be answered. Another one: environment: monty."
        say(f"environment {environment.name}", str(error), mend)
    try:
        backends = Backends(settings.models, settings.resilience)
    except RantsError as error:
        say("backends", str(error), "Set model: under models: in config.yaml.")
        return False
    try:
        for health in await backends.health(within=5.0):
            for number, look in enumerate((health, *health.fallbacks)):
                name = f"{look.role}, fallback {number}" if number else look.role
                entry = f"models.{look.role}.fallbacks[{number - 1}]" if number else f"models.{look.role}"
                say(
                    f"{name}: {look.provider} {look.model} ({look.latency * 1000:.0f} ms)",
                    look.error,
                    f"Start that server, or correct {entry}.base_url and {entry}.api_key in config.yaml.",
                )
    finally:
        await backends.aclose()
    return well


@app.command()
def pull(
    name: Annotated[str | None, typer.Argument(help="Which weights; without it the catalogue is shown.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Another address of the model hub.")] = None,
) -> None:
    """Fetch a better local model from the model hub, resumably, and check its bytes."""
    from programs.backends.catalogue import CATALOGUE, pull
    from programs.settings import MODELS_FOLDER

    if name is None:
        for known, weights in CATALOGUE.items():
            size = f"{weights.size / 2**20:5.0f} MiB, {weights.context_window // 1024:3} k tokens"
            out.print(f"{known:20} {size}  {weights.description}")
        return
    path = pull(name, folder=MODELS_FOLDER.expanduser(), endpoint=endpoint)
    out.print(f"{path}\nTo use it, put [bold]model: {name}[/bold] under models.generator in config.yaml.")


def _settings() -> Settings:
    from server.settings import Settings

    return Settings.load()
