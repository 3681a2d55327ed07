"""Every statement of the store, written with Peewee and compiled once for each database, when this module is imported.

To build a query costs Peewee some 200 microseconds, to run it costs SQLite ten. So the building is done beforehand,
and a value is left open as `given(name)` until then: `row(db, SESSION_OF_KEY, {"tenant": ..., "key": ...})`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import peewee as pw
from peewee import fn

from store.database import Database
from store.tables import (
    BEGINNING,
    CALLED,
    COST,
    COSTS,
    ENDING,
    EXECUTION,
    SPENT,
    audit,
    bucket,
    call,
    daily,
    event,
    glance,
    message,
    prefix,
    run,
    session,
    spent,
    todo,
    usage,
    worker,
)

type Values = dict[str, Any]
type Found = tuple[Any, ...]


class Statement:
    """A query in the words of each database.

    Args:
        query: what Peewee compiles.
        lock: how PostgreSQL locks the rows that it reads `of` a table, until the end of the transaction. On SQLite
            nobody else writes meanwhile.
    """

    def __init__(self, query: Any, *, lock: str | None = None, of: Any = None) -> None:
        sqlite, postgres = pw.SqliteDatabase(None), pw.PostgresqlDatabase(None, prefer_psycopg3=True)
        self.sqlite: str = sqlite.get_sql_context().sql(query).query()[0]  # type: ignore[no-untyped-call]
        if lock:
            query = query.for_update(lock, of=of)
        self.postgres: str = postgres.get_sql_context().sql(query).query()[0]  # type: ignore[no-untyped-call]

    def on(self, db: Database) -> str:
        """Give the words for `db`."""
        return self.postgres if isinstance(db, pw.PostgresqlDatabase) else self.sqlite


def rows(db: Database, statement: Statement, values: Values) -> list[Found]:
    """Run a statement and give all its rows: SQLite does not commit while one still has some to give."""
    cursor = db.execute_sql(statement.on(db), values)  # type: ignore[no-untyped-call]
    found: list[Found] = cursor.fetchall() if cursor.description else []
    return found


def row(db: Database, statement: Statement, values: Values) -> Found | None:
    """Run a statement that has at most one row."""
    found = rows(db, statement, values)
    return found[0] if found else None


def each(db: Database, statement: Statement, values: Sequence[Values]) -> None:
    """Run a statement that gives nothing, once for each of the values."""
    cursor = db.cursor()  # type: ignore[no-untyped-call]
    cursor.executemany(statement.on(db), values)


class _Given(pw.Node):
    def __init__(self, name: str) -> None:
        self._name = name

    def __sql__(self, ctx: Any) -> Any:
        return ctx.literal(f":{self._name}" if ctx.state.param == "?" else f"%({self._name})s")


def given(name: str) -> Any:
    """Leave a value open that comes with the statement when it runs."""
    return _Given(name)


class _Now(pw.Node):
    """The database's clock, in seconds since the epoch."""

    def __sql__(self, ctx: Any) -> Any:
        sqlite = "(julianday('now') - 2440587.5) * 86400.0"
        return ctx.literal(sqlite if ctx.state.param == "?" else "extract(epoch FROM clock_timestamp())::float8")


NOW: Any = _Now()


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

ADD_MESSAGE = Statement(_insert(message, "digest", "body").on_conflict_ignore())
ADD_PREFIX = Statement(_insert(prefix, "digest", "parent", "message", "length").on_conflict_ignore())


@cache
def longest_prefix(candidates: int) -> Statement:
    """Compile: the greatest length among those of the digests `digest_0`, `digest_1`, ... that are there."""
    digests = [given(f"digest_{index}") for index in range(candidates)]
    return Statement(prefix.select(fn.MAX(prefix.length)).where(*_own(prefix), prefix.digest.in_(digests)))


def _messages(walk: Any) -> Statement:
    said = message.select(message.body).from_(walk).join(message, pw.JOIN.CROSS)
    return Statement(said.where(*_own(message, digest=walk.c.message)).order_by(walk.c.length).with_cte(walk))


def messages(*columns: Any, where: Any = None) -> Statement:
    """Compile: the length up to each message of the transcript that ends in a head, and these columns, in order."""
    said = message.select(UPWARD.c.length, *columns).from_(UPWARD).join(message, pw.JOIN.CROSS)
    said = said.where(*_own(message, digest=UPWARD.c.message))
    said = said if where is None else said.where(where)
    return Statement(said.order_by(UPWARD.c.length).with_cte(UPWARD))


MESSAGES = _messages(UPWARD)
NUMBERS = messages(message.id)
MESSAGES_AFTER = _messages(_upward(given("input")))
DROP_PREFIX = Statement(
    prefix.delete()
    .where(
        *_own(prefix, digest=given("digest")),
        _unused(prefix, parent=prefix.digest),
        _unused(run, output=prefix.digest),
        _unused(session, head=prefix.digest),
    )
    .returning(prefix.parent, prefix.message)
)
DROP_MESSAGE = Statement(
    message.delete().where(*_own(message, digest=given("digest")), _unused(prefix, message=message.digest))
)

# Sessions.

ADD_SESSION = Statement(_insert(session, "id", "head", "created_at", "updated_at", *CALLED, *COSTS))
SESSION_OF_KEY = Statement(session.select(session.id, session.head).where(*_own(session, key=given("key"))))
SESSION_OF_RUN = Statement(
    session.select(session.id, session.head)
    .join(run, on=session.id == run.session)
    .where(*_own(session), *_own(run, id=given("previous")))
)
# The nearest prefix comes first, and the walk ends with the first session. One that has another client's key is
# another conversation, however alike they begin.
SESSION_OF_PREFIX = Statement(
    session.select(session.id)
    .from_(UPWARD)
    .join(session, pw.JOIN.CROSS)
    .where(
        *_own(session, head=UPWARD.c.digest),
        session.key.is_null() | pw.NodeList((pw.Cast(given("key"), "TEXT"), pw.SQL("IS NULL"))),
    )
    .limit(pw.SQL("1"))
    .with_cte(UPWARD)
)
# A key once given stays; what is given as NULL changes nothing. Costs are added to those that are there.
_is_newest = session.newest_at <= given("newest_at")
_moved = {
    "key": fn.COALESCE(session.key, given("key")),
    "sought": pw.Case(None, ((session.key.is_null(), session.sought.concat(given("named"))),), session.sought),
    "head": fn.COALESCE(given("head"), session.head),
    "status": pw.Case(None, ((_is_newest, given("status")),), session.status),
    "newest_at": pw.Case(None, ((_is_newest, given("newest_at")),), session.newest_at),
    "estimated": pw.NodeList((session.estimated, pw.SQL("OR"), given("estimated"))),
    **{name: getattr(session, name) + given(name) for name in ("runs", "prompt", "completion", "cached", "seconds")},
}
MOVE_SESSION = Statement(_update(session, "updated_at", **_moved).where(*_own(session, **BY_ID)))
DROP_SESSION = Statement(session.delete().where(*_own(session, **BY_ID), _unused(run, session=session.id)))

# What is counted of a session's runs is counted again when one is gone, while no other begins or ends.
LOCK_SESSION = Statement(session.select(session.id).where(*_own(session, **BY_ID)), lock="FOR UPDATE", of=session)
_runs_of_session = run.select().where(*_own(run, session=given("id")))
COSTS_OF_SESSION = Statement(
    _runs_of_session.select(
        fn.COUNT(run.id),
        *(fn.COALESCE(fn.SUM(getattr(run, name)), pw.SQL("0")) for name in ("prompt", "completion", "cached")),
        fn.COUNT(pw.Case(None, ((run.estimated, pw.SQL("1")),))),
        fn.COALESCE(fn.SUM(run.completed_at - run.created_at), pw.SQL("0")),
    )
)
NEWEST_OF_SESSION = Statement(
    _runs_of_session.select(run.output, run.status, run.created_at).order_by(run.created_at.desc()).limit(pw.SQL("1"))
)
_back = pw.Case(None, ((session.head == given("dropped"), given("head")),), session.head)
MOVE_SESSION_BACK = Statement(_update(session, *COSTS, head=_back).where(*_own(session, **BY_ID)))

# Runs and what they cost.

STORED = tuple(name for name in ("tenant", *BEGINNING, *ENDING) if name not in {"input", "output"})
_stored = run.select(*(getattr(run, name) for name in STORED))

ADD_RUN = Statement(_insert(run, *BEGINNING, *ENDING, "owner"))
OPEN_RUN = Statement(
    run.select(run.session, run.created_at, run.completed_at, run.input, prefix.length, run.owner)
    .join(prefix, pw.JOIN.LEFT_OUTER, on=(prefix.tenant == run.tenant) & (prefix.digest == run.input))
    .where(*_own(run, **BY_ID)),
    lock="FOR NO KEY UPDATE",
    of=run,
)
END_RUN = Statement(_update(run, "output", "status", *ENDING).where(*_own(run, **BY_ID)))
RUN = Statement(_stored.where(*_own(run, **BY_ID)))
RUNS_OF_SESSION = Statement(
    _stored.where(*_own(run, session=given("id")))
    .order_by(run.created_at, run.id)
    .limit(given("limit"))
    .offset(given("offset"))
)
UNFINISHED_RUNS = Statement(_stored.where(run.completed_at.is_null()).order_by(run.created_at))
RUN_HEADS = Statement(run.select(run.input, run.output).where(*_own(run, **BY_ID)))
DROP_RUN = Statement(run.delete().where(*_own(run, **BY_ID)).returning(run.session, run.output))
ADD_USAGE = Statement(_insert(usage, "run", "key", "created_at", "outcome", "reason", "seconds", *COST))
ADD_SPENT = Statement(_insert(spent, "run", "created_at", *SPENT))
SPEND_OF_DAY = Statement(
    _insert(daily, "key", "day", "calls", "tokens")
    .on_conflict(
        conflict_target=(daily.tenant, daily.key, daily.day),
        update={daily.calls: daily.calls + pw.EXCLUDED.calls, daily.tokens: daily.tokens + pw.EXCLUDED.tokens},
    )
    .returning(daily.calls, daily.tokens)
)

# What runs did with their contexts.

ADD_EVENT = Statement(_insert(event, "run", "number", "body").on_conflict_ignore())
_events = event.select(event.body).where(*_own(event, run=given("id")))
EVENTS = Statement(_events.order_by(event.number))
EVENT = Statement(_events.where(event.number == given("number")))
ADD_GLANCE = Statement(_insert(glance, "run", "number", "body").on_conflict_ignore())
GLANCES = Statement(
    glance.select(glance.body)
    .where(*_own(glance, run=given("id")), glance.number > given("after"))
    .order_by(glance.number)
    .limit(given("limit"))
)

# Leases. Who owns a run can be changed by another process, so that whoever depends on it locks the row.

OWNER = Statement(run.select(run.owner).where(*_own(run, **BY_ID)), lock="FOR SHARE", of=run)
BEAT = Statement(
    worker.insert({"id": given("worker"), "process": given("process"), "seen_at": NOW}).on_conflict(
        conflict_target=(worker.id,), update={worker.seen_at: NOW}
    )
)
WORKER = Statement(worker.select(worker.id).where(worker.id == given("worker")), lock="FOR KEY SHARE", of=worker)
WORKERS = Statement(worker.select(worker.id, worker.process, worker.seen_at, NOW - worker.seen_at))
DROP_WORKER = Statement(worker.delete().where(worker.id == given("worker")))
DROP_SILENT_WORKER = Statement(worker.delete().where(worker.id == given("worker"), worker.seen_at == given("seen_at")))
_open = run.completed_at.is_null()
OWNED_RUNS = Statement(run.select(run.tenant, run.id, run.cancel_asked_at).where(_open, run.owner == given("worker")))
_living = fn.EXISTS(worker.select(pw.SQL("1")).where(worker.id == run.owner))
CLAIM_RUNS = Statement(
    run.update({run.owner: given("worker")})
    .where(_open, run.owner.is_null() | ~_living)
    .returning(*(getattr(run, name) for name in STORED))
)
ASK_TO_CANCEL = Statement(run.update({run.cancel_asked_at: NOW}).where(*_own(run, **BY_ID), _open).returning(run.id))

# Tools.

ADD_CALL = Statement(_insert(call, "id", "run").on_conflict_ignore())
HEADS_OF_CALL = Statement(
    run.select(run.input, run.output)
    .join(call, on=(call.tenant == run.tenant) & (call.run == run.id))
    .where(*_own(run), call.id == given("id"))
)
ADD_AUDIT = Statement(_insert(audit, "run", "session", "at", *EXECUTION))
TODOS = Statement(todo.select(todo.body).where(*_own(todo, session=given("session"))))
SET_TODOS = Statement(
    _insert(todo, "session", "body").on_conflict(
        conflict_target=(todo.tenant, todo.session), update={todo.body: given("body")}
    )
)

# Token buckets. The conflict changes nothing: it locks the row, and has it given back, also where it was there before.

LOCK_BUCKET = Statement(
    _insert(bucket, "name", "level", "at")
    .on_conflict(conflict_target=(bucket.tenant, bucket.name), update={bucket.level: bucket.level})
    .returning(bucket.level, bucket.at)
)
SET_BUCKET = Statement(_update(bucket, "level", "at").where(*_own(bucket, name=given("name"))))
