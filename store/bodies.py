"""The JSON of one message, which may have a hundred megabytes: read where it is wanted, never whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Protocol

import peewee as pw
from peewee import fn

from store import statements
from store.contents import HEAD
from store.database import Database
from store.postgres import Postgres
from store.statements import Statement, Values, given, rows
from store.tables import message

STEP = 1 << 20
"""Bytes that are read at once where much is looked through."""

# How PostgreSQL does it: it sends what is asked for.
_body = fn.CONVERT_TO(message.body, pw.SQL("'UTF8'"))
_one = message.id == given("message")
_after = fn.SUBSTRING(_body, pw.Cast(given("at"), "INTEGER"))
_PLACE = Statement(
    message.select(fn.POSITION(pw.NodeList((pw.Cast(given("needle"), "BYTEA"), pw.SQL("IN"), _after)))).where(_one)
)
_head = (fn.SUBSTR(message.body, pw.SQL("1"), pw.SQL(str(HEAD))), fn.OCTET_LENGTH(message.body))
_SEEN_ONE = Statement(message.select(*_head).where(_one))
_SEEN = statements.messages(*_head)
_HOLDING = statements.messages(message.id, where=fn.STRPOS(message.body, given("needle")) > pw.SQL("0"))


@cache
def _pieces(count: int) -> Statement:
    # It unpacks all of a body for any piece of it: so it does that once for several.
    body = message.select(_body.alias("body")).where(_one).offset(pw.SQL("0")).alias("kept")
    places = [(given(f"at_{index}"), given(f"size_{index}")) for index in range(count)]
    pieces = [
        fn.SUBSTRING(body.c.body, pw.Cast(at, "INTEGER") + pw.SQL("1"), pw.Cast(size, "INTEGER")) for at, size in places
    ]
    return Statement(pw.Select([body], pieces))


class Body(Protocol):
    """What is kept of a message. All positions are in bytes."""

    size: int

    def read(self, at: int, size: int) -> bytes:
        """Give what is at `at`: so many bytes, or fewer where it ends before."""

    def expect(self, *places: tuple[int, int]) -> None:
        """Get ready to read within these places, each of which is where it begins and how many bytes it has."""

    def find(self, needle: bytes, at: int) -> int:
        """Find the first place from `at` on where these bytes are; -1 where there is none."""


class _InSqlite:
    def __init__(self, blob: sqlite3.Blob) -> None:
        self._blob = blob
        self.size = len(blob)

    def expect(self, *places: tuple[int, int]) -> None:
        pass  # each is as near as any other

    def read(self, at: int, size: int) -> bytes:
        return bytes(self._blob[at : at + size])

    def find(self, needle: bytes, at: int) -> int:
        while at < self.size:
            place = self.read(at, STEP + len(needle) - 1).find(needle)
            if place >= 0:
                return at + place
            at += STEP
        return -1


class _InPostgres:
    def __init__(self, db: Postgres, number: int) -> None:
        self._db = db
        self._number = number
        ((head, self.size),) = rows(db, _SEEN_ONE, {"message": number})
        self._here: list[tuple[int, bytes]] = [(0, head.encode()[:HEAD])]

    def expect(self, *places: tuple[int, int]) -> None:
        values: Values = {"message": self._number}
        for index, (at, size) in enumerate(places):
            values |= {f"at_{index}": at, f"size_{index}": size}
        (pieces,) = rows(self._db, _pieces(len(places)), values)
        self._here = [(at, bytes(piece)) for (at, _), piece in zip(places, pieces, strict=True)]

    def read(self, at: int, size: int) -> bytes:
        size = min(size, self.size - at)
        for begins, piece in self._here:
            if begins <= at and at + size <= begins + len(piece):
                return piece[at - begins : at - begins + size]
        self.expect((at, size))
        return self._here[0][1]

    def find(self, needle: bytes, at: int) -> int:
        ((place,),) = rows(self._db, _PLACE, {"message": self._number, "at": at + 1, "needle": needle})
        return at + int(place) - 1 if place else -1


@contextmanager
def opened(db: Database, number: int) -> Iterator[Body]:
    """Open a message by its number: see `numbers`."""
    if isinstance(db, Postgres):
        yield _InPostgres(db, number)
        return
    connection = db.connection()  # type: ignore[no-untyped-call]
    with closing(connection.blobopen("message", "body", number, readonly=True)) as blob:
        yield _InSqlite(blob)


def numbers(db: Database, transcript: Values, needle: str | None = None) -> list[tuple[int, int]]:
    """Give the place in a transcript, and the number, of each message; with a needle at least of those that hold it.

    Args:
        db: where they are.
        transcript: its `tenant`, and the `head` that it ends in.
        needle: a part of their JSON.
    """
    statement = _HOLDING if needle is not None and isinstance(db, Postgres) else statements.NUMBERS
    return [(length - 1, number) for length, number in rows(db, statement, transcript | {"needle": needle})]


def heads(db: Database, transcript: Values) -> list[tuple[int, bytes, int]]:
    """Give the place of each message of a transcript, how its JSON begins, and how many bytes it has."""
    if isinstance(db, Postgres):
        return [(length - 1, head.encode(), size) for length, head, size in rows(db, _SEEN, transcript)]
    seen = []
    for index, number in numbers(db, transcript):
        with opened(db, number) as body:
            seen.append((index, body.read(0, HEAD), body.size))
    return seen
