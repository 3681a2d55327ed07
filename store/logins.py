"""Browsers that have shown a key, until they have to show it again: as jobs."""

from __future__ import annotations

from dataclasses import asdict

from store.database import Database
from store.looking import Login
from store.statements import Statement, given, row, rows
from store.tables import LOGIN, login

_ADD = Statement(login.insert({name: given(name) for name in LOGIN}))
_LOGIN = Statement(
    login.select(*(getattr(login, name) for name in LOGIN)).where(
        login.digest == given("digest"), login.expires_at > given("now")
    )
)
_DROP = Statement(login.delete().where(login.digest == given("digest")))
_DROP_EXPIRED = Statement(login.delete().where(login.expires_at <= given("now")))


def add(db: Database, new: Login, now: float) -> None:
    """Keep a login, and none that has expired."""
    rows(db, _DROP_EXPIRED, {"now": now})
    rows(db, _ADD, asdict(new))


def find(db: Database, digest: str, now: float) -> Login | None:
    """Find the login of that digest, whosever it is."""
    found = row(db, _LOGIN, {"digest": digest, "now": now})
    return Login(**dict(zip(LOGIN, found, strict=True))) if found else None


def drop(db: Database, digest: str) -> None:
    """Forget a login."""
    rows(db, _DROP, {"digest": digest})
