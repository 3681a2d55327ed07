"""`rants keys`: make, list and revoke API keys in the configured database, also while a server runs on it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from server.settings import Settings
    from store import Key, Store

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys of tenants.")

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def when(text: str) -> float:
    """A time in seconds since the epoch: `30d` from now (m, h, d or w), or a date as ISO 8601 writes it, in UTC.

    Raises:
        typer.BadParameter: it is neither.
    """
    if span := _SPAN.fullmatch(text):
        return time.time() + int(span[1]) * _SECONDS[span[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither a time from now, such as 30d, nor a date.") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


@app.command()
def create(
    *,
    tenant: Annotated[str, typer.Option(help="Who it belongs to. Keys of one tenant see the same responses.")],
    name: Annotated[str | None, typer.Option(help="What you call it, for `rants keys list`.")] = None,
    models: Annotated[list[str] | None, typer.Option(help="A model that it may ask; may be repeated.")] = None,
    tools: Annotated[list[str] | None, typer.Option(help="A gateway tool that it may use; may be repeated.")] = None,
    no_tools: Annotated[bool, typer.Option("--no-tools", help="It may use no gateway tools.")] = False,
    expires: Annotated[str | None, typer.Option(help="After 90m, 12h, 30d or 8w; or on a date, 2027-01-31.")] = None,
    calls_per_day: Annotated[int | None, typer.Option(min=1, help="Runs, from midnight to midnight UTC.")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1, help="Of prompts and replies, likewise.")] = None,
) -> None:
    """Make a key and print it, once: only its digest is kept."""
    from server.keys import digest, make, make_id
    from server.settings import Settings
    from store import Key

    if not tenant.strip():
        raise typer.BadParameter("it is empty", param_hint="--tenant")
    if tools and no_tools:
        raise typer.BadParameter("--tools and --no-tools exclude each other")
    expires_at = None if expires is None else when(expires)
    if expires_at is not None and expires_at <= time.time():
        raise typer.BadParameter(f"{expires} is over", param_hint="--expires")
    settings = Settings.load()
    secret = make()
    key = Key(
        id=make_id(),
        tenant=tenant,
        digest=digest(secret),
        created_at=time.time(),
        name=name,
        expires_at=expires_at,
        models=frozenset(models) if models else None,
        tools=frozenset(tools or ()) if tools or no_tools else None,
        calls_per_day=calls_per_day,
        tokens_per_day=tokens_per_day,
    )
    _do(settings, lambda store: store.add_key(key))
    err.print(f"Key {key.id} of tenant {tenant}. It is shown this once:")
    print(secret)  # alone on standard output, for KEY=$(rants keys create ...)
    if not settings.auth.enabled:
        err.print("No server asks for keys yet: set auth.enabled to true (RANTS_AUTH__ENABLED=true).")


@app.command(name="list")
def list_keys(
    *, as_json: Annotated[bool, typer.Option("--json", help="As JSON, times in seconds since the epoch.")] = False
) -> None:
    """Show the keys that were made here: whose they are, what they allow, and whether they work."""
    from server.settings import Settings

    settings = Settings.load()

    async def read(store: Store) -> tuple[list[Key], dict[tuple[str, str], tuple[int, int]]]:
        return await store.keys(), await store.spent_of_day(time.time())

    keys, spent = _do(settings, read)
    shown = [_shown(key, spent.get((key.tenant, key.id), (0, 0))) for key in keys]
    if as_json:
        print(json.dumps(shown, indent=2))
        return
    table = [("id", "tenant", "name", "state", "created", "expires", "last used", "models", "tools", "today")]
    for key, values in zip(keys, shown, strict=True):
        times = (_date(key.created_at), _date(key.expires_at), _date(key.used_at))
        scopes = (_names(values["models"]), _names(values["tools"]))
        table.append((key.id, key.tenant, key.name or "-", values["state"], *times, *scopes, _today(values)))
    # Never cut or wrapped, however narrow the terminal: ids are there to be copied.
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if not keys:
        err.print("There are none yet: rants keys create --tenant NAME")
    if others := len(settings.auth.api_keys):
        err.print(f"The configuration has {others} more, under auth.api_keys.")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `rants keys list` shows it.")]) -> None:
    """Take a key back. A server that runs refuses it within seconds; what it has begun goes on."""
    from server.settings import Settings

    key = _do(Settings.load(), lambda store: store.revoke_key(key_id, time.time()))
    if key is None:
        raise typer.BadParameter(f"There is no key {key_id!r}; `rants keys list` shows them.", param_hint="ID")
    out.print(f"Key {key.id} of tenant {key.tenant} is revoked.")


def _do[T](settings: Settings, job: Callable[[Store], Awaitable[T]]) -> T:
    from store import Store

    async def done() -> T:
        async with await Store.open(settings.state) as store:
            return await job(store)

    return asyncio.run(done())


def _shown(key: Key, spent: tuple[int, int]) -> dict[str, Any]:
    values = asdict(key)
    del values["digest"]
    values |= {scope: None if values[scope] is None else sorted(values[scope]) for scope in ("models", "tools")}
    expired = key.expires_at is not None and key.expires_at <= time.time()
    state = "revoked" if key.revoked_at is not None else "expired" if expired else "active"
    # Without a budget calls are not counted one by one.
    counted = key.calls_per_day is not None or key.tokens_per_day is not None
    return values | {"state": state, "calls_today": spent[0] if counted else None, "tokens_today": spent[1]}


def _today(values: dict[str, Any]) -> str:
    parts = []
    for what in ("calls", "tokens"):
        if (most := values[f"{what}_per_day"]) is not None:
            parts.append(f"{values[f'{what}_today']:,}/{most:,} {what}")
    return ", ".join(parts) or f"{values['tokens_today']:,} tokens"


def _names(names: list[str] | None) -> str:
    return "all" if names is None else ", ".join(names) or "none"


def _date(at: float | None) -> str:
    return "-" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
