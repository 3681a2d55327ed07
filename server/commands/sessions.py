"""`rants sessions`: what the configured database has of conversations, also while a server runs on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from programs import Transcript
    from programs.events import Trajectory
    from store import Store, StoredRun, StoredSession

app = typer.Typer(no_args_is_help=True, help="Look into conversations: list, show and export them.")

out = Console(highlight=False, soft_wrap=True)

_SHOWN = 2000  # characters of a message
_WIDEST = 400  # characters of a line of the table

SessionId = Annotated[str, typer.Argument(metavar="ID", help="As `rants sessions list` shows it.")]
Whose = Annotated[str | None, typer.Option(help="Whose sessions.")]

type Whole = tuple[StoredSession, Transcript, list[tuple[StoredRun, list[Trajectory]]]]


@app.command(name="list")
def list_sessions(
    *,
    tenant: Whose = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, times in seconds since the epoch.")] = False,
) -> None:
    """Show the sessions that were last used, newest first."""
    from server.exports import session_values
    from store import Wanted

    found = _look(lambda store: store.find_sessions(Wanted(tenant=tenant, limit=limit)))
    if as_json:
        print(json.dumps([session_values(session) for session in found], indent=2))
        return
    table = Table("id", "tenant", "last used", "turns", "messages", "tokens", "state", box=None, pad_edge=False)
    for session in found:
        numbers = (session.runs, session.messages, session.usage.prompt + session.usage.completion)
        cells = (session.id, session.tenant, _date(session.updated_at), *(f"{number:,}" for number in numbers))
        table.add_row(*map(_text, (*cells, session.status or "-")))
    if not found:
        out.print("There are none yet.")
        return
    # Ids are there to be copied: a narrow terminal may break a line, but nothing is cut.
    width = Measurement.get(out, out.options.update(max_width=_WIDEST), table).maximum
    Console(highlight=False, width=max(width, out.width)).print(table)


@app.command()
def show(
    session: SessionId,
    *,
    tenant: Whose = None,
    full: Annotated[bool, typer.Option("--full", help="Messages of any length.")] = False,
) -> None:
    """Show what was said in a session, and what each run did for its answer."""
    found, transcript, runs = _look(lambda store: _whole(store, session, tenant))
    named = f", which its client calls {found.key}" if found.key else ""
    out.print(_text(f"Session {found.id} of tenant {found.tenant}{named}", "bold"))
    spent = found.usage
    out.print(
        f"{_date(found.created_at)} to {_date(found.updated_at)}, {found.runs} turns, {spent.prompt:,} tokens read"
        f" ({spent.cached:,} cached) and {spent.completion:,} written\n"
    )
    for message in transcript.messages:
        out.print(_text(message.role, "bold cyan"))
        content = message.content if full or len(message.content) <= _SHOWN else _shortened(message.content)
        for line in (content, *(f"calls {call.name} {call.arguments}" for call in message.tool_calls)):
            if line:
                out.print(_text(line))
        out.print()
    for run, trajectory in runs:
        out.print(_tree(run, trajectory))


@app.command()
def export(
    session: SessionId,
    *,
    tenant: Whose = None,
    to: Annotated[Path | None, typer.Option("--out", help="A file; by default standard output.")] = None,
    dspy: Annotated[
        bool, typer.Option("--dspy", help="What models were asked and wrote, as examples for DSPy, a line each.")
    ] = False,
) -> None:
    """Write a session as JSON: its transcript, its runs, and the trajectory of each.

    With --dspy, write JSON Lines instead: each is a `dspy.Example(**line)`, a demonstration for the predictor that it
    names. What the database does not have is left out: see programs/examples.py.
    """
    from server.exports import exported

    # In ASCII: what is in a transcript may command a terminal.
    if dspy:
        text = "\n".join(map(json.dumps, _look(lambda store: _examples(store, session, tenant))))
    else:
        text = json.dumps(exported(*_look(lambda store: _whole(store, session, tenant))), indent=2)
    if to is None:
        print(text)
        return
    try:
        to.write_text(f"{text}\n")
    except OSError as error:
        raise typer.BadParameter(f"{to}: {error.strerror}", param_hint="--out") from error


def _look[T](job: Callable[[Store], Awaitable[T]]) -> T:
    from server.settings import Settings
    from store import Store

    async def looked() -> T:
        async with await Store.look(Settings.load().state) as store:
            return await job(store)

    return asyncio.run(looked())


async def _whole(store: Store, session_id: str, tenant: str | None) -> Whole:
    """All that there is of a session.

    Raises:
        NotFound: there is no such session, or several tenants have one.
    """
    from programs import Transcript
    from programs.errors import NotFound

    found = [session for session in await store.sessions_of(session_id) if tenant in (None, session.tenant)]
    if not found:
        raise NotFound(f"There is no session {session_id!r}: see `rants sessions list`.")
    if len(found) > 1:
        whose = ", ".join(session.tenant for session in found)
        raise NotFound(f"Several tenants have a session {session_id!r} ({whose}): say which with --tenant.")
    (session,) = found
    runs = await store.runs_of(session.tenant, session.id)
    transcript = Transcript(messages=())
    if runs:
        transcript = await store.transcript(session.tenant, runs[-1].id, output=True)
    return session, transcript, [(run, await store.trajectory(session.tenant, run.id)) for run in runs]


async def _examples(store: Store, session_id: str, tenant: str | None) -> list[dict[str, Any]]:
    """What its runs show, oldest first.

    Raises:
        NotFound: see `_whole`.
    """
    from server.exports import examples_of

    _, _, runs = await _whole(store, session_id, tenant)
    return [one for run, trajectory in runs for one in await examples_of(store, run, trajectory)]


def _tree(run: StoredRun, trajectory: Iterable[Trajectory]) -> Tree:
    """What a run did, as a tree of its sessions."""
    from programs.outline import lines, nested
    from server.terminal import STYLES

    tree = Tree(_text(f"{run.id} {run.status}{f' ({run.reason})' if run.reason else ''}", "bold"))
    branches = [tree]
    for depth, event in nested(trajectory):
        del branches[depth + 1 :]
        while len(branches) <= depth:  # the sessions below lie in a branch of their own
            branches.append(branches[-1].add(_text(event.session, "dim")))
        if said := lines(event):
            branches[depth].add(_text("\n".join(said), STYLES[event.kind]))
    return tree


def _text(text: str, style: str = "") -> Text:
    from programs.readable import readable

    return Text(readable(text), style=style)


def _shortened(text: str) -> str:
    half = _SHOWN // 2
    return f"{text[:half]}\n[... {len(text) - _SHOWN:,} characters: see --full ...]\n{text[-half:]}"


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
