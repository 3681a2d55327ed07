from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from store import StateSettings, Store


@pytest.fixture
def settings(tmp_path: Path) -> StateSettings:
    return StateSettings(sqlite_path=tmp_path / "state" / "rants.sqlite3", busy_timeout_seconds=0.2)


@pytest.fixture
def path(settings: StateSettings) -> Path:
    return settings.sqlite_path


@pytest.fixture
async def store(settings: StateSettings) -> AsyncIterator[Store]:
    async with await Store.open(settings) as store:
        yield store
