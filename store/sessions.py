"""What the store tells of sessions to whoever looks in from outside: as jobs, for readers alone.

How many things are wanted of a session differs from time to time, so that these statements are built when they run.
"""

from __future__ import annotations

from typing import Any

from peewee import fn

from programs.transcript import Usage
from store import statements
from store.database import Database
from store.jobs import stored
from store.looking import Wanted
from store.postgres import Postgres
from store.runs import StoredRun, StoredSession
from store.statements import Values, rows
from store.tables import COST, TOLD, prefix, session
from store.titles import sought

_LENGTH = prefix.select(prefix.length).where(prefix.tenant == session.tenant, prefix.digest == session.head)
_SESSIONS = session.select(
    session.tenant, *(getattr(session, name) for name in TOLD), fn.COALESCE(_LENGTH, 0).alias("messages")
)


def find(db: Database, wanted: Wanted) -> list[StoredSession]:
    """Find the sessions that are wanted, the last used first."""
    tokens, at = session.prompt + session.completion, session.updated_at
    query = _SESSIONS.order_by(at.desc(), session.id).limit(wanted.limit)
    if wanted.tenant is not None:
        query = query.where(session.tenant == wanted.tenant)
    if wanted.statuses:
        query = query.where(session.status.in_(sorted(wanted.statuses)))
    if text := sought(wanted.text):
        # Not LIKE: what is wanted is no pattern.
        place = fn.STRPOS if isinstance(db, Postgres) else fn.INSTR
        query = query.where(place(session.sought, text) > 0)
    for column, (least, most) in ((tokens, wanted.tokens), (session.seconds, wanted.seconds)):
        if least > 0:
            query = query.where(column >= least)
        if most is not None:
            query = query.where(column <= most)
    if wanted.before is not None:
        last, session_id = wanted.before
        query = query.where(at <= last, (at < last) | (session.id > session_id))
    return _told(db, query)


def by_id(db: Database, session_id: str) -> list[StoredSession]:
    """Find the sessions of that id: one at most of each tenant."""
    return _told(db, _SESSIONS.where(session.id == session_id).order_by(session.tenant))


def runs(db: Database, tenant: str, session_id: str, limit: int, offset: int) -> list[StoredRun]:
    """Find the runs of a session, oldest first."""
    values: Values = {"tenant": tenant, "id": session_id, "limit": limit, "offset": offset}
    return [stored(found) for found in rows(db, statements.RUNS_OF_SESSION, values)]


def _told(db: Database, query: Any) -> list[StoredSession]:
    told = []
    for values in query.dicts().execute(db):
        usage = Usage.model_validate({name: values.pop(name) for name in COST})
        told.append(StoredSession(**values, usage=usage))
    return told
