"""Responses that another process is writing, followed through the store that both share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from server.runs import Runs
from store import Store, StoredRun

_FIRST_LOOK, _LAST_LOOK = 0.05, 1.0  # seconds from one look to the next: they grow


async def looks(store: Store, run: StoredRun) -> AsyncGenerator[StoredRun | None]:
    """The run as it is at each of a series of looks, for as long as it is there and has not ended."""
    pause = _FIRST_LOOK
    seen: StoredRun | None = run
    yield seen
    while seen is not None and seen.completed_at is None:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
        seen = await store.run(run.tenant, run.id)
        yield seen


async def cancelled(store: Store, run: StoredRun, *, within: float) -> StoredRun | None:
    """Have a run's process cancel it, and wait until it has ended: gives it as it is then. None where it is gone.

    After `within` seconds it is given as it is, perhaps unfinished.
    """
    await store.ask_to_cancel(run.tenant, run.id)
    deadline = time.monotonic() + within
    seen: StoredRun | None = run
    async for seen in looks(store, run):  # noqa: B007
        if time.monotonic() > deadline:
            break
    return seen


async def arrival(store: Store, runs: Runs, run: StoredRun, *, heartbeat: float) -> AsyncGenerator[None]:
    """Yield after each `heartbeat` seconds, until the run has ended, is gone, or is driven by this process."""
    heard = time.monotonic()
    async for _ in looks(store, run):
        if runs.get(run.tenant, run.id) is not None:
            return
        if time.monotonic() - heard > heartbeat:
            heard = time.monotonic()
            yield
