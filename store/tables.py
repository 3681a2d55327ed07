"""The tables, as the last migration leaves them. Every row has a tenant, and no row is shared between two.

The transcripts of a tenant are one tree. A row of `prefix` is a node: the transcript up to and with one message,
named by its chain digest; its parent is the transcript before that message. A session that is sent whole again at
each turn finds its nodes there and adds only what is new. A node holds no text: it refers to a row of `message`,
of which there is one however often its words are said.

Types, keys, indexes and foreign keys are in the migrations. Times are seconds since the epoch, digests 16 bytes. Only
the rows of `worker` have no tenant.
"""

from __future__ import annotations

from typing import Any

import peewee as pw

COST = ("prompt", "completion", "cached", "estimated")
"""What a run costs: the fields of `programs.transcript.Usage`."""

ENDING = ("completed_at", "text", "steps", "timeline", "reason", "message", *COST)
"""What is known of a run when it has ended, and empty before."""


def _table(name: str, *columns: str) -> Any:
    """A table whose columns are attributes. They are checked when the statements are made, that is at import."""
    return pw.Table(name, ("tenant", *columns))


# The body is `Message.said()`, the digest is that of the body. The id is a number of the database's own.
message = _table("message", "id", "digest", "body")

# Parent and message are digests. A first message has the length 1 and no parent.
prefix = _table("prefix", "digest", "parent", "message", "length")

CALLED = ("key", "title", "sought")
"""What a session is called, and what it is found by: see `store.titles`. The key is the client's own name for it."""

COSTS = ("runs", "status", "newest_at", "seconds", *COST)
"""What a session's runs come to: how many there are, how the newest is doing and when it began, and what all of them
have taken and cost together. They are kept up to date with every run that begins, ends or is dropped."""

# The head is the digest of the newest prefix that a run of it left.
session = _table("session", "id", "parent", "depth", "head", "created_at", "updated_at", *CALLED, *COSTS)

TOLD = ("id", "key", "title", "created_at", "updated_at", "status", "runs", "seconds", *COST)
"""What is told of a session."""

# The question is what the last message of the user asks: see `store.titles`.
# Input is the digest of the transcript that it was given; output that of the one it left, until then the same. Request,
# steps and timeline are JSON.
# The key is the public id of the API key that asked for it, the owner the worker that drives it until it has ended.
BEGINNING = (
    *("id", "session", "key", "background", "model", "request", "question", "previous", "input", "created_at"),
    *("output", "status"),
)
run = _table("run", *BEGINNING, *ENDING, "owner", "cancel_asked_at")

# One row for each process that lives: who it is on its machine, and when it last said so by the database's clock.
worker: Any = pw.Table("worker", ("id", "process", "seen_at"))

# What a run did with its context, in order: each body is one of `programs.events.Trajectory`, as JSON.
event = _table("event", "run", "number", "body")

# The same at a glance, apart from the bodies, which may be large: each is a `programs.glance.Glance`, as JSON.
glance = _table("glance", "run", "number", "body")

# Which run made a call of a tool.
call = _table("call", "id", "run")

# One row for every execution of a gateway tool: see `programs.tools.Execution`.
EXECUTION = ("call", "tool", "digest", "seconds", "outcome")
audit = _table("audit", "run", "session", "at", *EXECUTION)

# The body is a JSON list.
todo = _table("todo", "session", "body")

# One row for every run, also where nothing else is kept of it. It is created when the run ends. The reason is
# `RunDone.reason`.
usage = _table("usage", "run", "key", "created_at", "outcome", "reason", "seconds", *COST)

# One row for every role that a run has called, made with the other: see `store.looking.Spent`.
SPENT = ("role", "calls", "failed", "seconds", "prompt", "completion", "cached")
spent = _table("spent", "run", "created_at", *SPENT)

# API keys that were made here: see `store.keys.Key`. Models and tools are JSON lists.
_MAY = ("models", "tools", "calls_per_day", "tokens_per_day")
KEY = ("id", "name", "digest", "created_at", "expires_at", "used_at", "revoked_at", *_MAY)
key = _table("key", *KEY)

# What a key has spent of a day, counted from the epoch: one row, so that nobody has to add up `usage`.
daily = _table("daily", "key", "day", "calls", "tokens")

# How much is in a token bucket of a tenant, and when that was.
bucket = _table("bucket", "name", "level", "at")

# Browsers that have shown a key: see `store.looking.Login`.
LOGIN = ("tenant", "digest", "key", "expires_at")
login = _table("login", *LOGIN[1:])
