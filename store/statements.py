"""Every statement of the store, written with Peewee and compiled once, when this module is imported.

To build a query costs Peewee some 200 microseconds, to run it costs SQLite ten. So the building is done beforehand,
and a value is left open as `given(name)` until then: `row(db, SESSION_OF_KEY, {"tenant": ..., "key": ...})`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import peewee as pw
from peewee import fn

from store.tables import (
    BEGINNING,
    COST,
    ENDING,
    EXECUTION,
    audit,
    bucket,
    call,
    event,
    message,
    prefix,
    run,
    session,
    todo,
    usage,
)

type Values = dict[str, Any]
type Found = tuple[Any, ...]


def rows(db: pw.SqliteDatabase, statement: str, values: Values) -> list[Found]:
    """Run a statement and give all its rows: SQLite does not commit while one still has some to give."""
    found: list[Found] = db.execute_sql(statement, values).fetchall()  # type: ignore[no-untyped-call]
    return found


def row(db: pw.SqliteDatabase, statement: str, values: Values) -> Found | None:
    """Run a statement that has at most one row."""
    found = rows(db, statement, values)
    return found[0] if found else None


def given(name: str) -> pw.SQL:
    """Leave a value open that comes with the statement when it runs."""
    return pw.SQL(f":{name}")


def _sql(query: Any) -> str:
    context = pw.SqliteDatabase(None).get_sql_context()
    sql: str = context.sql(query).query()[0]  # type: ignore[no-untyped-call]
    return sql


def _insert(table: Any, *columns: str) -> Any:
    return table.insert({name: given(name) for name in ("tenant", *columns)})


def _update(table: Any, *columns: str, **values: Any) -> Any:
    given_values = {name: given(name) for name in columns}
    return table.update({getattr(table, name): value for name, value in (given_values | values).items()})


def _own(table: Any, **values: Any) -> list[Any]:
    # The row is the tenant's and has these values.
    same = [getattr(table, name) == value for name, value in values.items()]
    return [table.tenant == given("tenant"), *same]


def _unused(table: Any, **values: Any) -> Any:
    # The tenant has no row with these values, which are columns of the statement's own table.
    other = table.alias("other")
    return ~fn.EXISTS(other.select(pw.SQL("1")).where(*_own(other, **values)))


def _upward(*stops: Any) -> Any:
    # The prefixes from a head up to the first message, or to the first that a stop holds for.
    first = prefix.select(prefix.digest, prefix.parent, prefix.message, prefix.length)
    found = first.where(*_own(prefix, digest=given("head"))).cte("upward", recursive=True)
    node = prefix.alias("node")
    above = node.select(node.digest, node.parent, node.message, node.length)
    stop = [node.digest != digest for digest in stops]
    return found.union_all(above.join(found, on=(node.digest == found.c.parent)).where(*_own(node), *stop))


UPWARD = _upward()
BY_ID = {"id": given("id")}

# Messages and prefixes. CROSS makes SQLite walk first and look up what it meets, never the other way round.

ADD_MESSAGE = _sql(_insert(message, "digest", "body").on_conflict_ignore())
ADD_PREFIX = _sql(_insert(prefix, "digest", "parent", "message", "length").on_conflict_ignore())


@cache
def longest_prefix(candidates: int) -> str:
    """Compile: the greatest length among those of the digests `digest_0`, `digest_1`, ... that are there."""
    digests = [given(f"digest_{index}") for index in range(candidates)]
    return _sql(prefix.select(fn.MAX(prefix.length)).where(*_own(prefix), prefix.digest.in_(digests)))


def _messages(walk: Any) -> str:
    said = message.select(message.body).from_(walk).join(message, pw.JOIN.CROSS)
    return _sql(said.where(*_own(message, digest=walk.c.message)).order_by(walk.c.length).with_cte(walk))


MESSAGES = _messages(UPWARD)
MESSAGES_AFTER = _messages(_upward(given("input")))
DROP_PREFIX = _sql(
    prefix.delete()
    .where(
        *_own(prefix, digest=given("digest")),
        _unused(prefix, parent=prefix.digest),
        _unused(run, output=prefix.digest),
        _unused(session, head=prefix.digest),
    )
    .returning(prefix.parent, prefix.message)
)
DROP_MESSAGE = _sql(
    message.delete().where(*_own(message, digest=given("digest")), _unused(prefix, message=message.digest))
)

# Sessions.

ADD_SESSION = _sql(_insert(session, "id", "key", "head", "created_at", "updated_at"))
SESSION_OF_KEY = _sql(session.select(session.id, session.head).where(*_own(session, key=given("key"))))
SESSION_OF_RUN = _sql(
    session.select(session.id, session.head)
    .join(run, on=session.id == run.session)
    .where(*_own(session), *_own(run, id=given("previous")))
)
# The nearest prefix comes first, and the walk ends with the first session. One that has another client's key is
# another conversation, however alike they begin.
SESSION_OF_PREFIX = _sql(
    session.select(session.id)
    .from_(UPWARD)
    .join(session, pw.JOIN.CROSS)
    .where(
        *_own(session, head=UPWARD.c.digest),
        session.key.is_null() | pw.NodeList((given("key"), pw.SQL("IS NULL"))),
    )
    .limit(pw.SQL("1"))
    .with_cte(UPWARD)
)
# A key once given stays; what is given as NULL changes nothing.
_moved = {"key": fn.COALESCE(session.key, given("key")), "head": fn.COALESCE(given("head"), session.head)}
MOVE_SESSION = _sql(_update(session, "updated_at", **_moved).where(*_own(session, **BY_ID)))
DROP_SESSION = _sql(session.delete().where(*_own(session, **BY_ID), _unused(run, session=session.id)))

# Runs and what they cost.

STORED = tuple(name for name in ("tenant", *BEGINNING, *ENDING) if name not in {"input", "output"})
_stored = run.select(*(getattr(run, name) for name in STORED))

ADD_RUN = _sql(_insert(run, *BEGINNING, *ENDING))
OPEN_RUN = _sql(
    run.select(run.session, run.completed_at, run.input, prefix.length)
    .join(prefix, pw.JOIN.LEFT_OUTER, on=(prefix.tenant == run.tenant) & (prefix.digest == run.input))
    .where(*_own(run, **BY_ID))
)
END_RUN = _sql(_update(run, "output", "status", *ENDING).where(*_own(run, **BY_ID)))
RUN = _sql(_stored.where(*_own(run, **BY_ID)))
UNFINISHED_RUNS = _sql(_stored.where(run.completed_at.is_null()).order_by(run.created_at))
RUN_HEADS = _sql(run.select(run.input, run.output).where(*_own(run, **BY_ID)))
DROP_RUN = _sql(run.delete().where(*_own(run, **BY_ID)).returning(run.session, run.output))
# A session whose newest run is gone ends where the newest of the others does.
_before = run.select(run.output).where(*_own(run, session=given("id"))).order_by(run.created_at.desc())
MOVE_SESSION_BACK = _sql(
    _update(session, head=_before.limit(pw.SQL("1"))).where(*_own(session, **BY_ID, head=given("head")))
)
ADD_USAGE = _sql(_insert(usage, "run", "created_at", "outcome", "seconds", *COST))

# What runs did with their contexts.

ADD_EVENT = _sql(_insert(event, "run", "number", "body").on_conflict_ignore())
EVENTS = _sql(event.select(event.body).where(*_own(event, run=given("id"))).order_by(event.number))

# Tools.

ADD_CALL = _sql(_insert(call, "id", "run").on_conflict_ignore())
HEADS_OF_CALL = _sql(
    run.select(run.input, run.output)
    .join(call, on=(call.tenant == run.tenant) & (call.run == run.id))
    .where(*_own(run), call.id == given("id"))
)
ADD_AUDIT = _sql(_insert(audit, "run", "session", "at", *EXECUTION))
TODOS = _sql(todo.select(todo.body).where(*_own(todo, session=given("session"))))
SET_TODOS = _sql(
    _insert(todo, "session", "body").on_conflict(
        conflict_target=(todo.tenant, todo.session), update={todo.body: given("body")}
    )
)

# Token buckets. The conflict changes nothing: it locks the row, and has it given back, also where it was there before.

LOCK_BUCKET = _sql(
    _insert(bucket, "name", "level", "at")
    .on_conflict(conflict_target=(bucket.tenant, bucket.name), update={bucket.level: bucket.level})
    .returning(bucket.level, bucket.at)
)
SET_BUCKET = _sql(_update(bucket, "level", "at").where(*_own(bucket, name=given("name"))))
