from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from programs.errors import StoreError
from store import StateSettings, Store
from tests.store.samples import a_run, count, finished, look, on_sqlite, said, then, user

HELLO = said("Be brief.", "Hello")
MODULE = "tests.store.recorder"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another program is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def recorder(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", MODULE, *(str(argument) for argument in arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def check_complete(path: Path, acknowledged: list[str], *, more: int = 0) -> None:
    """Each acknowledged run is there as a whole, and at most `more` others."""
    async with await Store.open(StateSettings(sqlite_path=path)) as store:
        for name in acknowledged:
            run = await store.run("ada", name)
            assert run is not None
            assert (run.status, run.text) == ("completed", f"answer {name.removeprefix('run_')}")
            transcript = await store.transcript("ada", name, output=True)
            assert [message.content for message in transcript.messages] == ["Be brief.", name, "x" * 2000, run.text]
        assert await store.unfinished() == []
    counted = count(path)
    assert len(acknowledged) <= counted["run"] <= len(acknowledged) + more
    assert counted["usage"] == counted["session"] == counted["run"]
    assert counted["prefix"] == 3 * counted["run"] + bool(counted["run"])  # they share the system message
    assert look(path, "PRAGMA foreign_key_check") == []
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


async def test_what_is_kept_is_there_after_a_restart(settings: StateSettings) -> None:
    async with await Store.open(settings) as store:
        await store.record(a_run("one"), finished("Hi"))
        await store.begin(a_run("two"))
    async with await Store.open(settings) as store:
        assert [run.id for run in await store.unfinished()] == ["two"]
        kept = await store.run("ada", "one")
        assert kept is not None
        assert kept.text == "Hi"


async def test_closing_ends_the_threads_and_refuses_what_comes_later(settings: StateSettings) -> None:
    store = await Store.open(settings)
    await store.check()
    await store.close()
    await store.close()
    ours = {"rants-writer", "rants-reader"}
    assert not ours & {thread.name for thread in threading.enumerate()}
    for late in (store.run("ada", "one"), store.record(a_run("one"), finished("Hi"))):
        with pytest.raises(StoreError, match="closed"):
            await late


async def test_two_hundred_runs_at_once(store: Store, settings: StateSettings) -> None:
    async def one(number: int) -> None:
        name = f"run_{number}"
        transcript = then(HELLO, user(name))
        session = await store.begin(a_run(name, transcript, session_key=f"key_{number % 10}"))
        assert await store.finish("ada", name, finished(f"answer {number}"))
        run = await store.run("ada", name)
        assert run is not None
        assert (run.session, run.text) == (session, f"answer {number}")
        read = await store.transcript("ada", name, output=True)
        assert read == then(transcript, *finished(f"answer {number}").output)

    await asyncio.gather(*(one(number) for number in range(200)))
    assert count(settings) == {"message": 402, "prefix": 402, "session": 10, "run": 200, "usage": 200}


async def test_a_cancelled_begin_is_kept_or_not_but_never_half(store: Store, settings: StateSettings) -> None:
    tasks = [asyncio.create_task(store.begin(a_run(f"run_{number}"))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.record(a_run("after"), finished("Hi"))
    rows = count(settings)
    assert 1 <= rows["run"] == rows["session"] <= 21
    assert rows == {"message": 3, "prefix": 3, "session": rows["run"], "run": rows["run"], "usage": 1}


@on_sqlite
async def test_a_locked_database_is_explained_and_nothing_is_half_written(store: Store, path: Path) -> None:
    await store.begin(a_run("run"))
    before = count(path)
    with held(path):
        for write in (
            store.finish("ada", "run", finished("Hi")),
            store.record(a_run("other"), finished("Hi")),
            store.delete("ada", "run"),
            store.check(),
        ):
            with pytest.raises(StoreError, match=r"kept .* locked for 0.2 s: .*busy_timeout_seconds"):
                await write
        assert await store.run("ada", "run") is not None  # reading goes on
    assert count(path) == before
    await store.check()
    assert await store.finish("ada", "run", finished("Hi"))


@on_sqlite
async def test_a_locked_database_cannot_be_opened(settings: StateSettings, path: Path) -> None:
    await (await Store.open(settings)).close()
    with held(path), pytest.raises(StoreError, match="locked"):
        await Store.open(settings)


@on_sqlite
async def test_a_lock_that_passes_is_waited_for(settings: StateSettings, path: Path) -> None:
    patient = settings.model_copy(update={"busy_timeout_seconds": 30.0})
    async with await Store.open(patient) as store:
        with held(path):
            waiting = asyncio.create_task(store.record(a_run("run"), finished("Hi")))
            await asyncio.sleep(0.05)
            assert not waiting.done()
        await waiting
        assert count(path)["run"] == 1


async def test_checking_leaves_nothing(store: Store, settings: StateSettings) -> None:
    await store.check()
    assert set(count(settings).values()) == {0}


@on_sqlite
async def test_a_full_disk_at_any_point_of_finishing_leaves_the_run_as_it_was(store: Store, path: Path) -> None:
    await store.record(a_run("old"), finished("Hi"))
    await store.begin(a_run("run", then(HELLO, user("More"))))
    before = count(path), await store.run("ada", "run"), await store.transcript("ada", "run", output=True)
    big = finished(*(str(number) * 3000 for number in range(10)))
    pages = await store._writer.do(lambda db: db.execute_sql("PRAGMA page_count").fetchone()[0])  # type: ignore[no-untyped-call]
    failures = 0
    for room in range(200):
        await store._writer.do(lambda db, most=pages + room: db.execute_sql(f"PRAGMA max_page_count = {most}"))  # type: ignore[misc]
        try:
            await store.finish("ada", "run", big)
        except StoreError as error:
            assert "is full: free some space" in str(error)
            failures += 1
            now = count(path), await store.run("ada", "run"), await store.transcript("ada", "run", output=True)
            assert now == before
        else:
            break
    assert failures > 10
    after = await store.transcript("ada", "run", output=True)
    assert after == then(HELLO, user("More"), *big.output)
    assert count(path) == {"message": 14, "prefix": 14, "session": 2, "run": 2, "usage": 2}


@pytest.mark.parametrize(("room", "least"), [(1_000, 0), (600_000, 5)])
async def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(tmp_path: Path, room: int, least: int) -> None:
    path = tmp_path / "rants.sqlite3"
    output, errors = await asyncio.to_thread(recorder(path, room).communicate, timeout=60)
    assert errors == ""
    *acknowledged, last = output.splitlines()
    assert len(acknowledged) >= least
    assert last.startswith(f"StoreError: The disk that holds {path} fails: look at its space")
    await check_complete(path, acknowledged)


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "rants.sqlite3"
    process = recorder(path)
    assert process.stdout is not None
    with process:
        acknowledged = [await asyncio.to_thread(process.stdout.readline) for _ in range(60)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += process.stdout.readlines()
    # The last line may have been cut, and the last run committed but not yet told.
    await check_complete(path, [line.strip() for line in acknowledged if line.endswith("\n")], more=2)


@pytest.mark.parametrize("modes", [(0o444, 0o755), (0o644, 0o555)])
@on_sqlite
async def test_a_read_only_file_is_explained(settings: StateSettings, path: Path, modes: tuple[int, int]) -> None:
    async with await Store.open(settings) as store:
        await store.record(a_run("old"), finished("Hi"))
    file, folder = modes
    before = await asyncio.to_thread(path.read_bytes)
    await asyncio.to_thread(path.chmod, file)
    await asyncio.to_thread(path.parent.chmod, folder)
    output, errors = await asyncio.to_thread(recorder(path).communicate, timeout=60)
    await asyncio.to_thread(path.parent.chmod, 0o755)
    assert errors == ""
    assert output.startswith(f"StoreError: {path} ")
    assert "writable for this user" in output
    assert await asyncio.to_thread(path.read_bytes) == before
