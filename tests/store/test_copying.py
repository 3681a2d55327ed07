"""Moving a store from one database to another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from programs.errors import StoreError
from programs.tools.protocol import Execution
from programs.transcript import ToolCall
from store import Draw, Key, Login, StateSettings, Store
from store.copying import copy
from store.database import connector, migrate
from tests.store.samples import a_run, assistant, finished, look, said, then, user

HELLO = said("Be brief.", "Hello \0 \x1a0 é")
BOTH = ("sqlite", "postgres")


@pytest.fixture(params=list(product(BOTH, BOTH)), ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[StateSettings, StateSettings]:
    """Two databases: the first is to be filled, the second has empty tables, or none."""
    urls = []
    for number, kind in enumerate(request.param):
        if kind == "sqlite":
            urls.append(f"sqlite:///{tmp_path / f'{number}.sqlite3'}")
        else:
            server = request.getfixturevalue("postgres")
            urls.append(server.url(server.database()))
    first, second = (StateSettings.model_validate({"url": url}) for url in urls)
    return first, second


async def fill(settings: StateSettings) -> None:
    """Put something into every table, and children before their parents wherever that may be."""
    async with await Store.open(settings) as store:
        for tenant in ("ada", "bob"):
            session = await store.record(a_run("one", HELLO, tenant=tenant), finished("Hi\0"))
            longer = then(HELLO, assistant("Hi\0"), user("And?"))
            called = replace(
                finished("Fine"),
                output=(
                    assistant("Fine").model_copy(update={"tool_calls": (ToolCall(id="c", name="t", arguments="{}"),)}),
                ),
            )
            await store.record(a_run("two", longer, tenant=tenant), called)
            await store.begin(a_run("open", tenant=tenant, background=True, session_key="key"))
            await store.happened(tenant, "open", 0, finished("Hi").steps)
            await store.audit(tenant, "one", session, Execution("c", "bash", "00", 0.5, "ok"))
            await store.set_todos(tenant, session, [{"content": "é"}])
            await store.add_key(Key(id=f"digest of the key of {tenant}", tenant=tenant, digest=tenant, created_at=1.5))
            await store.add_login(Login(tenant, tenant, f"digest of the key of {tenant}", 9e9))
            await store.draw(tenant, [Draw("requests", 1.0, 10.0, 0.5)])
            await store.take_call(tenant, f"digest of the key of {tenant}", 86_400.0, calls=5, tokens=None)


def everything(settings: StateSettings) -> dict[str, list[Any]]:
    """All rows of all tables, as Python has them."""
    database = connector(settings)
    there = {}
    for table in set(database.get_tables()) - {"schema_migration", "worker"}:
        names = sorted(column.name for column in database.get_columns(table))
        rows = database.execute_sql(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # type: ignore[no-untyped-call]
        there[table] = sorted(rows, key=repr)
    database.close()
    return there


async def test_everything_arrives_as_it_was_and_goes_on(pair: tuple[StateSettings, StateSettings]) -> None:
    source, target = pair
    await fill(source)
    counts = await asyncio.to_thread(copy, source, target)
    before = everything(source)
    assert all(before.values()), "every table has rows"
    after = everything(target)
    # SQLite has numbers where PostgreSQL has truth values.
    assert {table: len(rows) for table, rows in after.items()} == counts
    for table, rows in before.items():
        assert sorted(map(repr, map(_numbers, after[table]))) == sorted(map(repr, map(_numbers, rows))), table
    async with await Store.open(target) as store:
        kept = await store.run("bob", "one")
        assert kept is not None
        assert kept.text == "Hi\0"
        assert await store.transcript("ada", "one", output=False) == HELLO
        assert {run.tenant for run in await store.take_over(3600)} == {"ada", "bob"}
        await store.record(a_run("new", said("Something new")), finished("Yes")), "numbers go on"


def _numbers(row: tuple[Any, ...]) -> list[Any]:
    return [float(value) if isinstance(value, bool | int | float) else value for value in row]


async def test_a_database_that_is_not_empty_is_refused_and_stays_as_it_is(
    pair: tuple[StateSettings, StateSettings],
) -> None:
    source, target = pair
    await fill(source)
    async with await Store.open(target) as store:
        await store.set_todos("eve", await store.record(a_run("mine", tenant="eve"), finished("Hi")), [])
    before = everything(target)
    with pytest.raises(StoreError, match=r"is not empty: its table \w+ has rows"):
        await asyncio.to_thread(copy, source, target)
    assert everything(target) == before


def test_what_is_not_there_is_not_copied(tmp_path: Path) -> None:
    nothing, target = (StateSettings(sqlite_path=tmp_path / name) for name in ("a.sqlite3", "b.sqlite3"))
    with pytest.raises(StoreError, match="There is no database"):
        copy(nothing, target)
    assert list(tmp_path.iterdir()) == []
    migrate(target)
    with pytest.raises(StoreError, match="onto itself"):
        copy(target, target)


async def test_a_copy_that_fails_half_way_leaves_nothing(pair: tuple[StateSettings, StateSettings]) -> None:
    source, target = pair
    await fill(source)
    migrate(target)
    await _execute(target, "ALTER TABLE usage RENAME COLUMN seconds TO minutes")
    with pytest.raises(StoreError, match="seconds"):
        await asyncio.to_thread(copy, source, target)
    assert look(target, "SELECT count(*) FROM run") == look(target, "SELECT count(*) FROM message") == [(0,)]


async def _execute(settings: StateSettings, statement: str) -> None:
    database = connector(settings)
    database.execute_sql(statement)  # type: ignore[no-untyped-call]
    database.close()
