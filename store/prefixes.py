"""The tree of transcripts: what is known of one, making it longer, reading it, pruning it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from programs.transcript import EMPTY, Message, Transcript, chain
from store import statements
from store.database import Database
from store.statements import each, row, rows


def known(db: Database, tenant: str, prefixes: Sequence[bytes]) -> int:
    """Count the messages, from the first one on, that the tenant already has in this order.

    A prefix is there only together with all shorter ones, so this is a binary search. Most often only the last
    messages are new: it begins there, with steps that double, and asks for all of them in one statement.
    """
    low, high = 0, len(prefixes)
    while low < high:
        lengths, step = [high], 1
        while high - step > low:
            lengths.append(high - step)
            step *= 2
        digests = {f"digest_{index}": prefixes[length - 1] for index, length in enumerate(lengths)}
        ((longest,),) = rows(db, statements.longest_prefix(len(lengths)), {"tenant": tenant, **digests})
        low = max(low, longest or 0)
        high = min((length for length in lengths if length > low), default=high + 1) - 1
    return low


def grow(db: Database, tenant: str, head: bytes | None, length: int, more: Sequence[Message]) -> bytes | None:
    """Append `more` to the transcript of `length` messages that ends in `head`, None if empty. Gives the new head."""
    bodies, nodes = [], []
    for digest, message in zip(chain(more, head or EMPTY), more, strict=True):
        length += 1
        body = message.said()
        said = hashlib.blake2b(body.encode(), digest_size=16).digest()
        bodies.append({"tenant": tenant, "digest": said, "body": body})
        nodes.append({"tenant": tenant, "digest": digest, "parent": head, "message": said, "length": length})
        head = digest
    if nodes:
        each(db, statements.ADD_MESSAGE, bodies)
        each(db, statements.ADD_PREFIX, nodes)
    return head


def read(db: Database, tenant: str, head: bytes | None) -> Transcript:
    """Give the transcript that ends in `head`."""
    said = rows(db, statements.MESSAGES, {"tenant": tenant, "head": head})
    return Transcript.model_validate_json('{"messages":[' + ",".join(body for (body,) in said) + "]}")


def prune(db: Database, tenant: str, head: bytes | None) -> None:
    """Remove `head` and what is above it, with their messages, up to the first that something else refers to."""
    while head is not None:
        dropped = row(db, statements.DROP_PREFIX, {"tenant": tenant, "digest": head})
        if dropped is None:
            break
        head, message = dropped
        rows(db, statements.DROP_MESSAGE, {"tenant": tenant, "digest": message})
