"""Opening the database file, bringing its tables up to date, and saying in words what went wrong with it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import peewee as pw
from playhouse.migrations import Runner

from programs.errors import StoreError
from store.settings import StateSettings

MIGRATIONS = Path(__file__).parent / "migrations"

DATABASE_ERRORS = (pw.PeeweeException, sqlite3.Error)


def connector(settings: StateSettings, *, read_only: bool = False) -> pw.SqliteDatabase:
    """The database as Peewee knows it: each thread that uses it gets a connection of its own, on its first statement."""
    pragmas: list[tuple[str, str | int]] = [
        ("journal_mode", "wal"),
        ("synchronous", settings.synchronous),
        ("foreign_keys", 1),
        ("query_only", int(read_only)),
    ]
    path = settings.sqlite_path.expanduser()
    return pw.SqliteDatabase(str(path), pragmas=pragmas, timeout=settings.busy_timeout_seconds)


def migrate(settings: StateSettings) -> None:
    """Make the folder and the file where they are missing, and apply the migrations that have not been.

    Blocks. Several processes may do it at once: the first one works, the others wait and find nothing to do.

    Raises:
        StoreError: the file cannot be made, opened or written.
    """
    folder = settings.sqlite_path.expanduser().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} for the database cannot be made ({error.strerror}). "
            "Make it by hand or point state.sqlite_path elsewhere."
        ) from error
    database = connector(settings)
    try:
        with database.atomic("IMMEDIATE"):
            Runner(database, str(MIGRATIONS)).up()
    except DATABASE_ERRORS as error:
        raise explain(error, settings) from error
    finally:
        database.close()


def explain(error: pw.PeeweeException | sqlite3.Error, settings: StateSettings) -> StoreError:
    """The `StoreError` whose sentence says what is wrong with the database and what to do."""
    cause = error.args[0] if isinstance(error, pw.PeeweeException) and error.args else error
    file = settings.sqlite_path
    match getattr(cause, "sqlite_errorcode", 0) & 0xFF:  # the low byte; the rest is detail
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            advice = (
                f"The database {file} is locked by another process and stayed so for "
                f"{settings.busy_timeout_seconds:g} s (state.busy_timeout_seconds). Stop that process or try again."
            )
        case sqlite3.SQLITE_FULL:
            advice = f"The disk that holds the database {file} is full. Free some space and try again."
        case sqlite3.SQLITE_IOERR:
            advice = (
                f"The disk that holds the database {file} does not read or write. Check its space, quota and health."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            advice = (
                f"The database {file} is read-only. Make it, its -wal and -shm and its folder writable for this user."
            )
        case sqlite3.SQLITE_CANTOPEN:
            advice = (
                f"The database {file} cannot be opened. Make its folder writable for this user, "
                "or point state.sqlite_path elsewhere."
            )
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            advice = f"{file} is not a database, or a damaged one. Move it away, or point state.sqlite_path elsewhere."
        case _:
            advice = f"The database {file} failed."
    return StoreError(f"{advice} SQLite says: {cause}")
