"""Copying everything that one database holds into another, empty one: how a store moves from SQLite to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from itertools import batched
from typing import Any

from programs.errors import StoreError
from store.database import DATABASE_ERRORS, Database, connector, migrate
from store.postgres import Postgres
from store.settings import StateSettings

_OF_ITS_OWN = {"schema_migration", "worker"}
"""Tables that say something of a database itself: its migrations, and the processes that use it."""

_BATCH = 1000  # rows that are in memory at once


def copy(source: StateSettings, target: StateSettings) -> dict[str, int]:
    """Copy all rows of all tenants from one database to another; gives how many there were, by table.

    It blocks. It reads one snapshot and writes one transaction. Both databases are migrated first.

    Raises:
        StoreError: there is nothing to copy from, the target is not empty, or one of them fails; nothing was copied.
    """
    if source.place == target.place:
        raise StoreError(f"{source.place} cannot be copied onto itself.")
    if source.file is not None and not source.file.is_file():
        raise StoreError(f"There is no database {source.file} to copy from.")
    for settings in (source, target):
        migrate(settings)
    reading, writing = connector(source, read_only=True), connector(target)
    try:
        return _copy(reading, writing, target)
    finally:
        reading.close()
        writing.close()


def _copy(reading: Database, writing: Database, target: StateSettings) -> dict[str, int]:
    counts = {}
    with _explained(writing):
        with _explained(reading):
            reading.begin_jobs()
            tables = {table: [column.name for column in _columns(reading, table)] for table in _in_order(reading)}
        writing.begin_jobs()
        for table in tables:
            if _run(writing, f'SELECT 1 FROM "{table}" LIMIT 1').fetchall():  # noqa: S608 - no client's words
                raise StoreError(f"{target.place} is not empty: its table {table} has rows. Copy into a new database.")
        if not isinstance(writing, Postgres):
            _run(writing, "PRAGMA defer_foreign_keys = 1")
        for table, columns in tables.items():
            counts[table] = _write(writing, table, columns, _read(reading, table, columns))
        writing.commit()
    return counts


@contextmanager
def _explained(db: Database) -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as error:
        raise db.explain(error) from error


def _in_order(db: Database) -> list[str]:
    """All tables, each after those that it refers to."""
    tables = set(db.get_tables()) - _OF_ITS_OWN
    refers = {table: {key.dest_table for key in db.get_foreign_keys(table)} - {table} for table in tables}
    return list(TopologicalSorter({table: sorted(refers[table]) for table in sorted(tables)}).static_order())


def _columns(db: Database, table: str) -> Any:
    return db.get_columns(table)


def _read(db: Database, table: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """All rows, a batch of them in memory at a time."""
    with _explained(db):
        # PostgreSQL sends everything at once, unless the cursor is one of the server's, which has a name.
        connection = db.connection()  # type: ignore[no-untyped-call]
        cursor = connection.cursor(**({"name": "copying"} if isinstance(db, Postgres) else {}))
        cursor.execute(f'SELECT {_names(columns)} FROM "{table}"')  # noqa: S608
        while batch := cursor.fetchmany(_BATCH):
            yield from batch
        cursor.close()


def _write(db: Database, table: str, columns: list[str], rows: Iterator[tuple[Any, ...]]) -> int:
    cursor = db.connection().cursor()  # type: ignore[no-untyped-call]
    count = 0
    if isinstance(db, Postgres):
        # One statement for all rows, so that they may refer to each other in any order.
        with cursor.copy(f'COPY "{table}" ({_names(columns)}) FROM STDIN') as copying:
            for row in rows:
                copying.write_row(row)
                count += 1
        _go_on_counting(db, table, columns)
        return count
    places = ", ".join("?" * len(columns))
    for batch in batched(rows, _BATCH, strict=False):
        cursor.executemany(f'INSERT INTO "{table}" ({_names(columns)}) VALUES ({places})', batch)  # noqa: S608
        count += len(batch)
    return count


def _go_on_counting(db: Postgres, table: str, columns: list[str]) -> None:
    """Have PostgreSQL number new rows from where the copied ones end."""
    for column in columns:
        ((counter,),) = _run(db, f"SELECT pg_get_serial_sequence('\"{table}\"', '{column}')").fetchall()
        if counter is not None:
            _run(db, f'SELECT setval(\'{counter}\', max("{column}")) FROM "{table}"')  # noqa: S608


def _names(columns: list[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _run(db: Database, statement: str) -> Any:
    return db.execute_sql(statement)  # type: ignore[no-untyped-call]
