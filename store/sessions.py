"""What the store tells of sessions to whoever looks in from outside: as jobs, for readers alone."""

from __future__ import annotations

from programs.transcript import Usage
from store import statements
from store.database import Database
from store.jobs import stored
from store.runs import StoredRun, StoredSession
from store.statements import Found, Values, row, rows
from store.tables import COST


def newest(db: Database, tenant: str | None, limit: int) -> list[StoredSession]:
    """Find the sessions that were last used, newest first, of one tenant or of all."""
    statement = statements.SESSIONS if tenant is None else statements.SESSIONS_OF_TENANT
    values: Values = {"limit": limit} | ({} if tenant is None else {"tenant": tenant})
    return [_told(db, found) for found in rows(db, statement, values)]


def by_id(db: Database, session_id: str) -> list[StoredSession]:
    """Find the sessions of that id: one at most of each tenant."""
    return [_told(db, found) for found in rows(db, statements.SESSIONS_BY_ID, {"id": session_id})]


def runs(db: Database, tenant: str, session_id: str) -> list[StoredRun]:
    """Find the runs of a session, oldest first."""
    values: Values = {"tenant": tenant, "id": session_id}
    return [stored(found) for found in rows(db, statements.RUNS_OF_SESSION, values)]


def _told(db: Database, found: Found) -> StoredSession:
    tenant, session_id, key, head, created_at, updated_at = found
    costs = rows(db, statements.COSTS_OF_SESSION, {"tenant": tenant, "id": session_id})
    length = row(db, statements.LENGTH, {"tenant": tenant, "head": head}) if head is not None else None
    spent = [Usage.model_validate(dict(zip(COST, cost, strict=True))) for _, *cost in costs]
    return StoredSession(
        id=session_id,
        tenant=tenant,
        key=key,
        created_at=created_at,
        updated_at=updated_at,
        status=costs[0][0] if costs else None,
        runs=len(costs),
        messages=length[0] if length else 0,
        usage=sum(spent, Usage()),
    )
