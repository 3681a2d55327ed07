"""One jail and one monty for all tests: what one session does must not be felt in another, and here that is tried all
the time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from programs.environment import Context, Environment, Host, Jail, Limits, Monty
from programs.environment.jail import JailSession
from programs.environment.monty import MontySession

Open = Callable[..., Awaitable[JailSession]]
OpenMonty = Callable[..., Awaitable[MontySession]]
OpenEither = Callable[..., Awaitable[JailSession | MontySession]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something outside of this process to become so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


def alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return pid is not None and not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether it is a worker of monty that has ended. Its pool takes note of that with the next one, at the latest."""
    try:
        name, _, state = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except (FileNotFoundError, ProcessLookupError):  # not Linux; or gone since
        return False
    return name == "monty" and state.split()[0] == "Z"


async def gone(pid: int | None) -> None:
    await until(lambda: not alive(pid))


async def no_task_but_this() -> None:
    await until(lambda: len(asyncio.all_tasks()) == 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        of_monty = "monty" in item.name or "monty" in item.path.name
        if "programs/environment" in item.path.as_posix() and not of_monty and sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="the jail needs Linux"))


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    jail = Jail()
    yield jail
    asyncio.run(jail.aclose())


@pytest.fixture(scope="session")
def monty() -> Iterator[Monty]:
    monty = Monty()
    yield monty
    asyncio.run(monty.aclose())


@pytest.fixture(params=["jail", "monty"])
def environment(request: pytest.FixtureRequest) -> Environment:
    either: Environment = request.getfixturevalue(request.param)
    return either


async def _opened(environment: Environment) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    sessions = []

    async def open_(context: Context = "", *, question: str = "", host: Host | None = None, **limits: Any) -> Any:
        session = await environment.open(context, question=question, host=host, limits=Limits(**limits))
        sessions.append(session)
        return session

    yield open_
    for session in sessions:
        await session.aclose()


@pytest.fixture
async def open_session(jail: Jail) -> AsyncIterator[Open]:
    async for open_ in _opened(jail):
        yield open_


@pytest.fixture
async def open_monty(monty: Monty) -> AsyncIterator[OpenMonty]:
    async for open_ in _opened(monty):
        yield open_


@pytest.fixture
async def open_either(environment: Environment) -> AsyncIterator[OpenEither]:
    async for open_ in _opened(environment):
        yield open_
