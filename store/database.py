"""Opening the database file, bringing its tables up to date, and saying in words what is wrong with it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import peewee as pw
from playhouse.migrations import Runner

from programs.errors import StoreError
from store.settings import StateSettings

MIGRATIONS = Path(__file__).parent / "migrations"

DATABASE_ERRORS = (pw.PeeweeException, sqlite3.Error)


def connector(settings: StateSettings, *, read_only: bool = False) -> pw.SqliteDatabase:
    """Describe the database to Peewee. Each thread gets its own connection, when it runs its first statement."""
    pragmas = {
        "journal_mode": "wal",
        "synchronous": settings.synchronous,
        "foreign_keys": 1,
        "query_only": int(read_only),
        "temp_store": "memory",  # else each savepoint writes what it may have to restore to a file
        "cache_size": -16_000,  # in KiB: digests are random, and so are the pages that they touch
    }
    path = settings.sqlite_path.expanduser()
    return pw.SqliteDatabase(str(path), pragmas=pragmas, timeout=settings.busy_timeout_seconds)


def migrate(settings: StateSettings) -> None:
    """Make the folder and the file where they are missing, and apply the migrations that have not been applied.

    It blocks. Several processes may do it at the same time: one does the work, the others wait for it. Raises
    StoreError where the file cannot be made, opened or written.
    """
    folder = settings.sqlite_path.expanduser().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} for the database cannot be made ({error.strerror}). "
            "Make it by hand, or point state.sqlite_path elsewhere."
        ) from error
    database = connector(settings)
    try:
        _connect(database, settings)
        with database.atomic("IMMEDIATE"):
            Runner(database, str(MIGRATIONS)).up()
    except DATABASE_ERRORS as error:
        raise explain(error, settings) from error
    finally:
        database.close()


def _connect(database: pw.SqliteDatabase, settings: StateSettings) -> None:
    """Connect, waiting for other processes: to begin its log SQLite needs the file alone, and does not wait itself."""
    deadline = time.monotonic() + settings.busy_timeout_seconds
    while True:
        try:
            database.connect()
        except pw.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _first(error: BaseException) -> BaseException:
    """Give SQLite's own error where it began: Peewee wraps it, and cleaning up after it may have failed as well."""
    while isinstance(error.__context__, DATABASE_ERRORS):
        error = error.__context__
    return error


def _code(error: BaseException) -> int:
    """Give SQLite's primary code. The higher bytes only say where it happened."""
    return int(getattr(_first(error), "sqlite_errorcode", 0)) & 0xFF


def explain(error: Exception, settings: StateSettings) -> StoreError:
    """Give the `StoreError` that says what is wrong with the database and what to do about it."""
    file = settings.sqlite_path
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            wrong = f"Another process has kept {file} locked for {settings.busy_timeout_seconds:g} s"
            advice = "stop it, or raise state.busy_timeout_seconds"
        case sqlite3.SQLITE_FULL:
            wrong, advice = f"The disk that holds {file} is full", "free some space"
        case sqlite3.SQLITE_IOERR:
            wrong, advice = f"The disk that holds {file} fails", "look at its space, quota and health"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            wrong, advice = f"{file} is read-only", "make it and its folder writable for this user"
        case sqlite3.SQLITE_CANTOPEN:
            wrong = f"{file} cannot be opened"
            advice = "make its folder writable for this user, or point state.sqlite_path elsewhere"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            wrong = f"{file} is not a database, or a damaged one"
            advice = "move it away, or point state.sqlite_path elsewhere"
        case _:
            wrong, advice = f"The database {file} failed", "see what SQLite says"
    return StoreError(f"{wrong}: {advice}. Nothing was written. (SQLite: {_first(error)})")
