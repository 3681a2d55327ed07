"""What a session is called, how its newest run is doing, and what its runs have cost together."""

import peewee as pw

from store.contents import beginning, role
from store.titles import sought, title

_HEAD = 4000  # characters of a message
_COLUMNS = {
    "title": "TEXT NOT NULL DEFAULT ''",
    "sought": "TEXT NOT NULL DEFAULT ''",
    "status": "TEXT",
    "newest_at": "DOUBLE PRECISION NOT NULL DEFAULT 0",
    "runs": "INTEGER NOT NULL DEFAULT 0",
    "prompt": "BIGINT NOT NULL DEFAULT 0",
    "completion": "BIGINT NOT NULL DEFAULT 0",
    "cached": "BIGINT NOT NULL DEFAULT 0",
    "estimated": "BOOLEAN NOT NULL DEFAULT FALSE",
    "seconds": "DOUBLE PRECISION NOT NULL DEFAULT 0",
}
_OWN = "FROM run WHERE run.tenant = session.tenant AND run.session = session.id"
_COSTS = f"""
UPDATE session SET (runs, prompt, completion, cached, estimated, seconds) = (
    SELECT count(*), coalesce(sum(prompt), 0), coalesce(sum(completion), 0), coalesce(sum(cached), 0),
        count(CASE WHEN estimated THEN 1 END) > 0, coalesce(sum(completed_at - created_at), 0)
    {_OWN}
), (status, newest_at) = (SELECT status, created_at {_OWN} ORDER BY created_at DESC LIMIT 1)
WHERE EXISTS (SELECT 1 {_OWN})
"""  # noqa: S608 - nothing in it is anybody's


def up(migrator, db):
    for name, kind in _COLUMNS.items():
        db.execute_sql(f'ALTER TABLE session ADD COLUMN "{name}" {kind}')
    # The runs of a session are also read in their order.
    migrator.migrate(
        migrator.drop_index("run", "run_tenant_session"),
        migrator.add_index("run", ("tenant", "session", "created_at")),
    )
    db.execute_sql(_COSTS)
    session = pw.Table("session", ("tenant", "id", "key", "title", "sought")).bind(db)
    run = pw.Table("run", ("tenant", "session", "input", "created_at")).bind(db)
    there = session.select(session.tenant, session.id, session.key).order_by(session.tenant, session.id)
    for tenant, name, key in list(there.tuples()):
        first = run.select(run.input).where(run.tenant == tenant, run.session == name).order_by(run.created_at).limit(1)
        heads = [head for (head,) in first.tuples()]
        called = title(_asked(db, tenant, heads[0] if heads else None))
        change = session.update({session.title: called, session.sought: sought(called, name, key)})
        change.where(session.tenant == tenant, session.id == name).execute()
    db.execute_sql("CREATE INDEX session_tenant_updated_at ON session (tenant, updated_at DESC, id)")


def _asked(db, tenant, head):
    """How the last message of a user begins, in the transcript that ends in `head`."""
    prefix = pw.Table("prefix", ("tenant", "digest", "parent", "message")).bind(db)
    message = pw.Table("message", ("tenant", "digest", "body")).bind(db)
    while head is not None:
        said = prefix.select(prefix.parent, pw.fn.SUBSTR(message.body, 1, _HEAD)).join(
            message, on=(message.tenant == prefix.tenant) & (message.digest == prefix.message)
        )
        ((head, body),) = said.where(prefix.tenant == tenant, prefix.digest == head).tuples()
        if role(body.encode()) == "user":
            return beginning(body.encode())
    return ""
