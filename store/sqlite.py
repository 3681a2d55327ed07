"""SQLite as the store's database: one file of this machine, one writer at a time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import peewee as pw

from programs.errors import StoreError
from store.settings import StateSettings


class Sqlite(pw.SqliteDatabase):
    """The file that is configured. Each thread gets its own connection, when it runs its first statement."""

    def __init__(self, settings: StateSettings, *, read_only: bool = False) -> None:
        pragmas = {
            "journal_mode": "wal",
            "synchronous": settings.synchronous,
            "foreign_keys": 1,
            "query_only": int(read_only),
            "temp_store": "memory",  # else each savepoint writes what it may have to restore to a file
            "cache_size": -16_000,  # in KiB: digests are random, and so are the pages that they touch
        }
        super().__init__(str(settings.file), pragmas=pragmas, timeout=settings.busy_timeout_seconds)
        self._settings = settings
        self._read_only = read_only

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the database in a transaction, while other processes wait. Folder and file are made where missing.

        Raises:
            StoreError: the folder cannot be made.
        """
        assert self._settings.file is not None  # noqa: S101
        folder = self._settings.file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder {folder} for the database cannot be made ({error.strerror}). "
                "Make it by hand, or point state.sqlite_path elsewhere."
            ) from error
        self._connect_patiently()
        with self.atomic("IMMEDIATE"):
            yield

    def _connect_patiently(self) -> None:
        # To begin its log SQLite needs the file alone, and does not wait for other processes itself.
        deadline = time.monotonic() + self._settings.busy_timeout_seconds
        while True:
            try:
                self.connect()
            except pw.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return

    def one_at_a_time(self, work: str) -> None:
        """See that nobody else does this work meanwhile: whoever writes is alone anyway."""

    def begin_jobs(self) -> None:
        """Begin a transaction for jobs."""
        self.begin("DEFERRED" if self._read_only else "IMMEDIATE")

    def explain(self, error: Exception) -> StoreError:
        """Give the `StoreError` that says what is wrong with the database and what to do about it."""
        file = self._settings.file
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                wrong = f"Another process has kept {file} locked for {self._settings.busy_timeout_seconds:g} s"
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


def _first(error: BaseException) -> BaseException:
    """Give SQLite's own error where it began: Peewee wraps it, and cleaning up after it may have failed as well."""
    while isinstance(error.__context__, (pw.PeeweeException, sqlite3.Error)):
        error = error.__context__
    return error


def _code(error: BaseException) -> int:
    """Give SQLite's primary code. The higher bytes only say where it happened."""
    return int(getattr(_first(error), "sqlite_errorcode", 0)) & 0xFF
