"""What only PostgreSQL does: connections that fail and are lost, and others who write at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from pydantic import ValidationError

from programs.errors import StoreError
from store import StateSettings, Store
from store.database import migrate
from tests.postgres import PASSWORD, PostgresServer
from tests.store.samples import a_run, count, finished, look, on_postgres, said

pytestmark = on_postgres
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rants' AND datname = "


def at(url: str) -> StateSettings:
    return StateSettings.model_validate({"url": url, "busy_timeout_seconds": 2})


@pytest.mark.parametrize(
    ("wrong", "right", "sentence"),
    [
        ("rants:wrong-s3cret@", "rants:", "refuses the user or the password .*: correct them in state.url"),
        ("nobody:wrong-s3cret@", "rants:", "refuses the user or the password"),
        ("/nothing", "/", "There is no such database: .*: make it with createdb"),
        (":1/", ":", "cannot be reached: see that PostgreSQL runs"),
    ],
)
def test_a_server_that_cannot_be_used_is_explained_without_the_password(
    settings: StateSettings, postgres: PostgresServer, wrong: str, right: str, sentence: str
) -> None:
    good = postgres.url("postgres")
    if "@" in wrong:
        url = f"postgresql://{wrong}{good.rpartition('@')[2]}"
    elif wrong.startswith(":"):
        url = f"{good.rpartition(':')[0]}{wrong}postgres"
    else:
        url = f"{good.rpartition('/')[0]}{wrong}"
    with pytest.raises(StoreError, match=sentence) as caught:
        migrate(at(url))
    for secret in ("s3cret", PASSWORD, good.split(":")[2].split("@")[0]):
        assert secret not in str(caught.value)
    assert "Nothing was written" in str(caught.value)


def test_a_user_without_rights_is_told_which(settings: StateSettings, postgres: PostgresServer) -> None:
    name = postgres.database()
    postgres.execute("DROP ROLE IF EXISTS guest")
    postgres.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    postgres.execute("REVOKE CREATE ON SCHEMA public FROM public", name)
    with pytest.raises(StoreError, match="lacks a permission: make it the owner of the database, or grant"):
        migrate(at(f"postgresql://guest:guest@127.0.0.1:{postgres.port}/{name}"))


@pytest.mark.parametrize(
    "url",
    ["postgresql://ada:s3cret%zz@host/db", "postgresql://ada:s3cret@host:port:x/db", "mysql://ada:s3cret@host/db"],
)
def test_a_url_that_cannot_be_read_is_refused_without_its_password(settings: StateSettings, url: str) -> None:
    with pytest.raises(ValidationError, match="write postgresql://USER:PASSWORD@HOST/DATABASE") as caught:
        at(url)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(StateSettings.model_validate({"url": "postgresql://ada:s3cret@host/db"}))
    assert StateSettings.model_validate({"url": "postgresql://ada:s3cret@host/db"}).place == "postgresql://ada@host/db"


async def test_a_connection_that_was_lost_while_nothing_was_done_is_made_anew(
    store: Store, settings: StateSettings, postgres: PostgresServer
) -> None:
    await store.record(a_run("one"), finished("Hi"))
    await _cut(settings, postgres)
    for number in range(20):
        await store.record(a_run(f"after_{number}"), finished("Hi"))
        assert await store.run("ada", f"after_{number}") is not None


async def test_a_connection_that_is_lost_in_the_middle_is_explained_and_nothing_is_half_written(
    store: Store, settings: StateSettings, postgres: PostgresServer
) -> None:
    def cut_in_the_middle(db: Any) -> None:
        db.execute_sql("INSERT INTO message (tenant, digest, body) VALUES ('ada', 'x', 'half')")
        asyncio.run(_cut(settings, postgres))
        db.execute_sql("SELECT 1")

    with pytest.raises(StoreError, match="was lost: see that PostgreSQL runs; the next request connects again"):
        await store._writer.do(cut_in_the_middle)
    await store.record(a_run("after"), finished("Hi"))
    assert look(settings, "SELECT count(*) FROM message WHERE body = 'half'") == [(0,)]


async def _cut(settings: StateSettings, postgres: PostgresServer) -> None:
    assert settings.postgres is not None
    await asyncio.to_thread(postgres.execute, f"{CUT} '{settings.postgres['dbname']}'")


async def test_a_lock_that_does_not_pass_is_explained(store: Store, settings: StateSettings) -> None:
    assert settings.url is not None
    with psycopg.connect(settings.url.get_secret_value()) as other:
        other.execute("LOCK TABLE message")
        with pytest.raises(StoreError, match=r"kept .* locked for 0.2 s: .*busy_timeout_seconds"):
            await store.record(a_run("run"), finished("Hi"))
        other.rollback()
    await store.record(a_run("run"), finished("Hi"))


async def test_processes_that_write_the_same_at_once_agree(store: Store, settings: StateSettings) -> None:
    async with await Store.open(settings) as other:
        transcript = said("Be brief.", *(f"message {number}" for number in range(20)))

        async def one(number: int) -> str:
            mine = (store, other)[number % 2]
            name = f"run_{number}"
            session = await mine.begin(a_run(name, transcript, session_key=f"key_{number % 3}"))
            assert await mine.finish("ada", name, finished(f"answer {number % 5}"))
            return session

        sessions = await asyncio.gather(*(one(number) for number in range(60)))
        assert len(set(sessions)) == 3
        assert count(settings) == {"message": 26, "prefix": 26, "session": 3, "run": 60, "usage": 60}
        await asyncio.gather(*((store, other)[number % 2].delete("ada", f"run_{number}") for number in range(60)))
    assert count(settings) | {"usage": 0} == {"message": 0, "prefix": 0, "session": 0, "run": 0, "usage": 0}
