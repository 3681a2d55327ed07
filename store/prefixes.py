"""The tree of transcripts: finding what is known of one, making it longer, reading it, pruning it.

These run within a transaction, in one of the store's threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count, takewhile

import peewee as pw

from programs.transcript import EMPTY, Message, Transcript, chain
from store import statements
from store.statements import row, rows


def known(db: pw.SqliteDatabase, tenant: str, prefixes: Sequence[bytes]) -> int:
    """How many messages from the first one on the tenant already has in this order.

    A prefix is there only with all that are shorter, so this is a binary search. Most often just the last message or two
    are new: it therefore begins at the end, with steps that double, and asks for all of these in one statement.
    """
    low, high = 0, len(prefixes)
    while low < high:
        lengths = [high, *takewhile(lambda length: length > low, (high - 2**step for step in count()))]  # noqa: B023
        digests = {f"digest_{index}": prefixes[length - 1] for index, length in enumerate(lengths)}
        found = row(db, statements.longest_prefix(len(lengths)), {"tenant": tenant, **digests})
        low = found[0] if found and found[0] else low
        high = min((length for length in lengths if length > low), default=high + 1) - 1
    return low


def grow(db: pw.SqliteDatabase, tenant: str, head: bytes | None, length: int, more: Sequence[Message]) -> bytes | None:
    """Append `more` to the transcript of `length` messages that ends in `head` (None: empty). Gives the new head."""
    bodies, nodes = [], []
    for digest, message in zip(chain(more, head or EMPTY), more, strict=True):
        length += 1
        body = message.said()
        said = hashlib.blake2b(body.encode(), digest_size=16).digest()
        bodies.append({"tenant": tenant, "digest": said, "body": body})
        nodes.append({"tenant": tenant, "digest": digest, "parent": head, "message": said, "length": length})
        head = digest
    if nodes:
        db.cursor().executemany(statements.ADD_MESSAGE, bodies)  # type: ignore[no-untyped-call]
        db.cursor().executemany(statements.ADD_PREFIX, nodes)  # type: ignore[no-untyped-call]
    return head


def read(db: pw.SqliteDatabase, tenant: str, head: bytes | None) -> Transcript:
    """The transcript that ends in `head`."""
    said = rows(db, statements.MESSAGES, {"tenant": tenant, "head": head})
    return Transcript.model_validate_json('{"messages":[' + ",".join(body for (body,) in said) + "]}")


def prune(db: pw.SqliteDatabase, tenant: str, head: bytes | None) -> None:
    """Remove `head` and what is above it, with its messages, as far as nothing else refers to them."""
    while head is not None:
        dropped = row(db, statements.DROP_PREFIX, {"tenant": tenant, "digest": head})
        if dropped is None:
            break
        head, message = dropped
        rows(db, statements.DROP_MESSAGE, {"tenant": tenant, "digest": message})
