"""API keys as the store has them, and what each has spent of its day. All times are in seconds since the epoch.

What is asked once in a while is built with Peewee when it is asked; what every run does is in `store.statements`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from peewee import fn

from programs.errors import QuotaSpent
from store import statements
from store.database import Database
from store.statements import row
from store.tables import KEY, daily, key

DAY = 86_400
"""Seconds of a day. Days are counted in UTC, from the epoch on."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that was made here: whose it is, and what it allows, where None allows everything.

    The key itself is not kept.

    Attributes:
        id: its public name.
        tenant: who it belongs to.
        digest: of the key, as hexadecimal digits.
        created_at: when it was made.
        name: what its owner calls it.
        expires_at: when it ends.
        used_at: when it was last used, to the hour.
        revoked_at: when it was taken back.
        models: the names that may stand in `model`.
        tools: the gateway tools that may be asked for.
        calls_per_day: requests that start a run, from midnight to midnight UTC.
        tokens_per_day: of prompts and replies together, likewise.

    """

    id: str
    tenant: str
    digest: str = field(repr=False)
    created_at: float
    name: str | None = None
    expires_at: float | None = None
    used_at: float | None = None
    revoked_at: float | None = None
    models: frozenset[str] | None = None
    tools: frozenset[str] | None = None
    calls_per_day: int | None = None
    tokens_per_day: int | None = None


def add(db: Database, new: Key) -> None:
    """Keep a new key."""
    values = {name: getattr(new, name) for name in ("tenant", *KEY)}
    names = {name: _written(values[name]) for name in ("models", "tools")}
    key.insert(values | names).execute(db)


def listed(db: Database) -> list[Key]:
    """Read all keys, oldest first."""
    query = key.select(*(getattr(key, name) for name in ("tenant", *KEY))).order_by(key.created_at, key.id)
    return [_read(found) for found in query.dicts().execute(db)]


def counted(db: Database) -> tuple[int, int]:
    """Count the keys, and those that are revoked."""
    ((all_of_them, revoked),) = key.select(fn.COUNT(key.id), fn.COUNT(key.revoked_at)).tuples().execute(db)
    return all_of_them, revoked


def revoke(db: Database, key_id: str, at: float) -> Key | None:
    """Take a key back, and give it as it is then; None where there is none. One that was taken back stays so."""
    key.update({key.revoked_at: at}).where(key.id == key_id, key.revoked_at.is_null()).execute(db)
    return next((one for one in listed(db) if one.id == key_id), None)


def used(db: Database, key_id: str, at: float) -> None:
    """Keep when a key was last used."""
    key.update({key.used_at: at}).where(key.id == key_id).execute(db)


def take(db: Database, tenant: str, key_id: str, at: float, *, calls: int | None, tokens: int | None) -> None:
    """Count one call more of the key's day, unless one of its budgets is spent.

    It counts first and looks then, so that no two processes take the last call: the error takes back what was written.
    """
    values = {"tenant": tenant, "key": key_id, "day": int(at // DAY), "calls": 1, "tokens": 0}
    found = row(db, statements.SPEND_OF_DAY, values)
    counted, spent = found or (0, 0)
    if calls is not None and counted > calls:
        raise _spent(f"{calls:,} calls", at)
    if tokens is not None and spent >= tokens:
        raise _spent(f"{tokens:,} tokens", at)


def spent(db: Database, at: float) -> dict[tuple[str, str], tuple[int, int]]:
    """Read the calls and tokens that have been counted of a day, by tenant and key."""
    query = daily.select(daily.tenant, daily.key, daily.calls, daily.tokens).where(daily.day == int(at // DAY))
    return {(found["tenant"], found["key"]): (found["calls"], found["tokens"]) for found in query.dicts().execute(db)}


def _spent(what: str, at: float) -> QuotaSpent:
    said = f"This API key has spent its {what} of today. The next day begins at midnight UTC."
    return QuotaSpent(said, retry_after=DAY - at % DAY)


def _written(names: Collection[str] | None) -> str | None:
    return None if names is None else json.dumps(sorted(names))


def _read(found: dict[str, Any]) -> Key:
    names = {column: found[column] for column in ("models", "tools")}
    return Key(**found | {column: text and frozenset(json.loads(text)) for column, text in names.items()})
