"""One jail for all tests: what one session does must not be felt in another, and here that is tried all the time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from programs.environment import Context, Host, Jail, Limits
from programs.environment.jail import JailSession

Open = Callable[..., Awaitable[JailSession]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something outside of this process to become so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "programs/environment" in str(item.path) and sys.platform != "linux":
            item.add_marker(pytest.mark.skip(reason="the jail needs Linux"))


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    jail = Jail()
    yield jail
    asyncio.run(jail.aclose())


@pytest.fixture
async def open_session(jail: Jail) -> AsyncIterator[Open]:
    sessions: list[JailSession] = []

    async def open_(
        context: Context = "", *, question: str = "", host: Host | None = None, **limits: Any
    ) -> JailSession:
        session = await jail.open(context, question=question, host=host, limits=Limits(**limits))
        sessions.append(session)
        return session

    yield open_
    for session in sessions:
        await session.aclose()
