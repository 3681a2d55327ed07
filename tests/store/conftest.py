from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store import StateSettings, Store


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> StateSettings:
    """A database of its own for each test, on each of the two; `on_sqlite` and `on_postgres` choose one."""
    if request.param == "sqlite":
        return StateSettings(sqlite_path=tmp_path / "state" / "rants.sqlite3", busy_timeout_seconds=0.2)
    return StateSettings(url=request.getfixturevalue("postgres_url"), busy_timeout_seconds=0.2)


@pytest.fixture
def path(settings: StateSettings) -> Path:
    """SQLite's file."""
    assert settings.file is not None
    return settings.file


@pytest.fixture
async def store(settings: StateSettings) -> AsyncIterator[Store]:
    async with await Store.open(settings) as store:
        yield store
