from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from programs.errors import StoreError
from store import StateSettings, tables
from store.database import MIGRATIONS, connector, migrate
from store.sqlite import Sqlite
from tests.postgres import PostgresServer
from tests.store.samples import look, on_sqlite

MIGRATIONS_THERE = len(list(MIGRATIONS.glob("0*.py")))
MIGRATE_WHEN_TOLD = """
import sys
from store import StateSettings
from store.database import migrate
settings = StateSettings(url=sys.argv[1], busy_timeout_seconds=30)
print("ready", flush=True)
input()
migrate(settings)
"""


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "rants.sqlite3"
    migrate(StateSettings(sqlite_path=path))
    assert path.is_file()


def test_the_home_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    migrate(StateSettings(sqlite_path=Path("~/rants.sqlite3")))
    assert (tmp_path / "rants.sqlite3").is_file()


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> StateSettings:
    """A database without any table."""
    if request.param == "sqlite":
        return StateSettings.model_validate({"url": f"sqlite:///{tmp_path / 'rants.sqlite3'}"})
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return StateSettings.model_validate({"url": postgres.url(postgres.database())})


def schema(settings: StateSettings) -> list[object]:
    there = "SELECT * FROM sqlite_master" if settings.file else "SELECT * FROM information_schema.columns"
    return [look(settings, there), look(settings, "SELECT id, name, applied FROM schema_migration ORDER BY id")]


def test_migrating_twice_is_migrating_once(empty: StateSettings) -> None:
    migrate(empty)
    once = schema(empty)
    migrate(empty)
    assert schema(empty) == once
    names = [name for (name,) in look(empty, "SELECT name FROM schema_migration ORDER BY id")]
    assert names == [file.stem for file in sorted(MIGRATIONS.glob("0*.py"))]


def test_two_processes_may_migrate_at_once(empty: StateSettings) -> None:
    assert empty.url is not None
    command = [sys.executable, "-c", MIGRATE_WHEN_TOLD, empty.url.get_secret_value()]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 2
    assert look(empty, "SELECT count(*) FROM schema_migration") == [(len(list(MIGRATIONS.glob("[0-9]*.py"))),)]


def test_the_statements_know_the_columns_that_there_are(settings: StateSettings) -> None:
    migrate(settings)
    database = connector(settings)
    for name in ("message", "prefix", "session", "run", "usage"):
        there = {column.name for column in database.get_columns(name)}
        assert set(getattr(tables, name)._columns) | {"id"} == there | {"id"}
        assert "tenant" in there
    database.close()


@on_sqlite
def test_the_file_is_written_as_firmly_as_asked(settings: StateSettings) -> None:
    for value, number in (("normal", 1), ("full", 2)):
        database = connector(settings.model_copy(update={"synchronous": value}))
        assert isinstance(database, Sqlite)
        migrate(settings)
        assert (database.journal_mode, database.synchronous, database.foreign_keys) == ("wal", number, 1)
        database.close()


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("/proc/rants/rants.sqlite3", "The folder /proc/rants for the database cannot be made"),
        ("/proc/rants.sqlite3", "/proc/rants.sqlite3 cannot be opened: make its folder writable"),
        ("{tmp}/file/rants.sqlite3", "cannot be made"),
        ("{tmp}", "cannot be opened"),
        ("{tmp}/file", "is not a database"),
    ],
)
def test_a_place_that_cannot_be_used_is_explained(tmp_path: Path, place: str, sentence: str) -> None:
    notes = "These are my notes. " * 100
    (tmp_path / "file").write_text(notes)
    with pytest.raises(StoreError, match=sentence) as caught:
        migrate(StateSettings(sqlite_path=Path(place.format(tmp=tmp_path))))
    assert "point state.sqlite_path elsewhere" in str(caught.value)
    assert (tmp_path / "file").read_text() == notes
