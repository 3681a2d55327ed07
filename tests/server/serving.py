"""A server in the test's own event loop, so that a test can look inside: over real HTTP, with a database of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI

from evals.scripted import ScriptedBackend
from server.admission import Admission
from server.app import create_app
from server.rates import MemoryBuckets, Rates
from server.settings import RateLimitSettings, Settings


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass(frozen=True, slots=True)
class Serving:
    """The server, and what a test does with it."""

    app: FastAPI
    address: str

    @property
    def admission(self) -> Admission:
        """What it lets in."""
        admission: Admission = self.app.state.admission
        return admission

    def sdk(self, key: str = "any-key", retries: int = 0) -> AsyncOpenAI:
        """The SDK on it."""
        return AsyncOpenAI(base_url=f"{self.address}/v1", api_key=key, max_retries=retries, timeout=60)

    def stop_the_clock(self, limits: RateLimitSettings) -> Clock:
        """Give it new, full buckets, which fill only when the clock is set."""
        clock = Clock()
        self.admission.rates = Rates(limits, MemoryBuckets(clock))
        return clock


@asynccontextmanager
async def serving(folder: Path, backend: ScriptedBackend, **sections: Mapping[str, Any]) -> AsyncIterator[Serving]:
    """Serve `backend`, configured by `sections`, until the end of `async with`."""
    settings = Settings.load(
        **{
            "models": {"generator": {"base_url": backend.base_url, "model": "scripted"}},
            "rlm": {"rants_one": {"environment": "monty"}},
            "state": {"sqlite_path": folder / "rants.sqlite3", "synchronous": "normal"},
            "tools": {"workspace": folder / "workspace", "bash": {"enabled": False}},
            **sections,
        }
    )
    app = create_app(settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on", timeout_graceful_shutdown=3))
        task = asyncio.create_task(server._serve([listener]))
        try:
            await eventually(lambda: server.started or task.done(), within=60)
            if task.done():
                await task
            yield Serving(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def eventually(happened: Callable[[], object], *, within: float = 30.0) -> None:
    """Wait until `happened` gives something true, while the event loop goes on."""
    async with asyncio.timeout(within):
        while not happened():  # noqa: ASYNC110  (it may be anything, such as what a model server has seen)
            await asyncio.sleep(0.005)
