"""Forgetting what is older than `state.retention_days`."""

from __future__ import annotations

import peewee as pw

from store import jobs
from store.database import Database
from store.keys import DAY
from store.statements import Statement, given, rows
from store.tables import audit, daily, run

BATCH = 50
"""Runs that are removed at once: so many that it gets on, so few that others can write in between."""

_OLD = Statement(
    run.select(run.tenant, run.id)
    .where(run.completed_at < given("before"))
    .order_by(run.completed_at)
    .limit(pw.SQL(str(BATCH)))
)
_DROP_AUDITS = Statement(audit.delete().where(audit.at < given("before")))
_DROP_DAYS = Statement(daily.delete().where(daily.day < given("day")))


def expire(db: Database, before: float) -> bool:
    """Remove some of the runs that ended before that time, and what only they needed. Gives whether there are more."""
    values = {"before": before}
    old = rows(db, _OLD, values)
    for tenant, run_id in old:
        jobs.delete(db, tenant, run_id)
    if len(old) == BATCH:
        return True
    rows(db, _DROP_AUDITS, values)
    rows(db, _DROP_DAYS, {"day": int(before // DAY)})
    return False
