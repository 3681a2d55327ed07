from __future__ import annotations

import asyncio
import ctypes
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from playhouse.migrations import Runner

from programs.errors import StoreError
from store import StateSettings, tables
from store.database import MIGRATIONS, connector, migrate
from tests.store.samples import look

# Takes from root what lets it write where the mode forbids it, and migrates on request.
MIGRATE = """
import ctypes, os, sys
from pathlib import Path
from programs.errors import StoreError
from store import StateSettings
from store.database import migrate
from tests.store.test_database import drop_root_override
drop_root_override()
"""


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "rants.sqlite3"
    migrate(StateSettings(sqlite_path=path))
    assert path.is_file()


def test_the_home_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    migrate(StateSettings(sqlite_path=Path("~/rants.sqlite3")))
    assert (tmp_path / "rants.sqlite3").is_file()


def test_migrating_twice_is_migrating_once(settings: StateSettings, path: Path) -> None:
    migrate(settings)
    schema = look(path, "SELECT * FROM sqlite_master"), look(path, "SELECT * FROM schema_migration")
    migrate(settings)
    assert (look(path, "SELECT * FROM sqlite_master"), look(path, "SELECT * FROM schema_migration")) == schema
    assert [name for _, name, _ in schema[1]] == [file.stem for file in sorted(MIGRATIONS.glob("0*.py"))]


def test_processes_that_migrate_at_once_do_not_disturb_each_other(path: Path) -> None:
    processes = [subprocess.Popen(migrating(path), stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert errors == [""] * 4
    assert len(look(path, "SELECT name FROM schema_migration")) == len(list(MIGRATIONS.glob("0*.py")))


def test_the_tables_are_those_that_the_statements_know(settings: StateSettings, path: Path) -> None:
    migrate(settings)
    for table in (tables.message, tables.prefix, tables.session, tables.run, tables.usage):
        there = {name for _, name, *_ in look(path, f"PRAGMA table_info({table.__name__})")}
        assert there - {"id"} == set(table._columns) - {"id"}


def test_every_table_has_the_tenant(settings: StateSettings, path: Path) -> None:
    migrate(settings)
    names = [name for (name,) in look(path, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in set(names) - {"schema_migration"}:
        assert "tenant" in {column for _, column, *_ in look(path, f"PRAGMA table_info({name})")}


def test_the_log_is_written_ahead_and_as_firmly_as_asked(settings: StateSettings) -> None:
    for value, number in (("normal", 1), ("full", 2)):
        database = connector(settings.model_copy(update={"synchronous": value, "sqlite_path": settings.sqlite_path}))
        migrate(settings)
        assert database.journal_mode == "wal"
        assert database.synchronous == number
        assert database.foreign_keys == 1
        database.close()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("/proc/rants/rants.sqlite3", "The folder /proc/rants for the database cannot be made"),
        ("/proc/rants.sqlite3", "cannot be opened: make its folder writable"),
        ("{tmp}/file/rants.sqlite3", "cannot be made"),
        ("{tmp}", "cannot be opened"),
        ("{tmp}/file", "is not a database"),
    ],
)
def test_a_place_that_cannot_be_used_is_explained(tmp_path: Path, place: str, sentence: str) -> None:
    (tmp_path / "file").write_text("These are my notes. " * 100)
    with pytest.raises(StoreError, match=sentence) as caught:
        migrate(StateSettings(sqlite_path=Path(place.format(tmp=tmp_path))))
    assert "state.sqlite_path" in str(caught.value)
    assert (tmp_path / "file").read_text() == "These are my notes. " * 100
