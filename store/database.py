"""Opening the database, whichever it is, and bringing its tables up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import peewee as pw
import psycopg
from playhouse.migrations import Runner

from store.postgres import Postgres
from store.settings import StateSettings
from store.sqlite import Sqlite

type Database = Sqlite | Postgres

MIGRATIONS = Path(__file__).parent / "migrations"

DATABASE_ERRORS = (pw.PeeweeException, sqlite3.Error, psycopg.Error)


def connector(settings: StateSettings, *, read_only: bool = False) -> Database:
    """Describe the database to Peewee. Each thread gets its own connection, when it runs its first statement."""
    return (
        Sqlite(settings, read_only=read_only) if settings.postgres is None else Postgres(settings, read_only=read_only)
    )


def migrate(settings: StateSettings) -> None:
    """Make what is missing of folder and file, and apply the migrations that have not been applied.

    It blocks. Several processes may do it at the same time: one does the work, the others wait for it. Raises
    StoreError where the database cannot be made, reached, opened or written.
    """
    database = connector(settings)
    try:
        with database.alone():
            Runner(database, str(MIGRATIONS)).up()
    except DATABASE_ERRORS as error:
        raise database.explain(error) from error
    finally:
        database.close()
