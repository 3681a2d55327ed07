"""`rants db`: moving to another database."""

from __future__ import annotations

import asyncio
from pathlib import Path

from typer.testing import CliRunner

from programs.errors import StoreError
from server.cli import app
from store import StateSettings, Store
from tests.store.samples import a_run, finished


def test_everything_is_copied_counted_and_read_back(tmp_path: Path, postgres_url: str) -> None:
    source = tmp_path / "rants.sqlite3"

    async def fill() -> None:
        async with await Store.open(StateSettings(sqlite_path=source)) as store:
            await store.record(a_run("run-1"), finished("Hi."))

    async def read() -> list[str]:
        async with await Store.open(StateSettings(url=postgres_url)) as store:
            return [said.content for said in (await store.transcript("ada", "run-1", output=True)).messages]

    asyncio.run(fill())
    copied = CliRunner().invoke(app, ["db", "copy", f"sqlite:///{source}", postgres_url])
    assert copied.exit_code == 0, copied.output
    assert "1 run" in copied.stdout
    assert "3 message" in copied.stdout
    assert "s3cret" not in copied.stdout
    assert asyncio.run(read()) == ["Be brief.", "Hello", "Hi."]
    again = CliRunner().invoke(app, ["db", "copy", f"sqlite:///{source}", postgres_url])
    assert isinstance(again.exception, StoreError)
    assert "empty" in str(again.exception)


def test_a_wrong_url_is_named() -> None:
    wrong = CliRunner().invoke(app, ["db", "copy", "mysql://here", "sqlite:///there"])
    assert wrong.exit_code == 2
    assert "FROM_URL" in wrong.output
