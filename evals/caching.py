"""Replies on disk, so that an evaluation that was interrupted goes on without asking, and paying, for them again."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from dspy.lm15 import Request, Response

from evals.around import Around, events_of
from evals.replies import read, written
from programs.backends import AsyncEngine
from programs.backends.chat import chat_body
from programs.backends.engine import told
from programs.budget import timeless
from programs.errors import ConfigurationError

_FILE = "replies.sqlite"
_BUSY_SECONDS = 60.0  # that another process may write


class Cache:
    """The replies of an evaluation, in the file `replies.sqlite` of its results' folder. It is opened at once.

    SQLite does it by itself: diskcache keeps pickles, and has had no release since 2023.

    Args:
        folder: is made if it is not there.

    Raises:
        ConfigurationError: the file cannot be opened or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        # SQLite's own thread: the disk is never waited for on an event loop, and replies come from several of those.
        self._thread = ThreadPoolExecutor(1, "replies")
        try:
            self._database = self._thread.submit(self._open).result()
        except (OSError, sqlite3.Error) as error:
            self._thread.shutdown()
            raise ConfigurationError(f"{self._path}: {error}; choose another folder for the results") from error

    def cell(self, name: str) -> Callable[[AsyncEngine], AsyncEngine]:
        """What is put around the engines of one attempt at the cell `name`: see `Backends.through`.

        A reply is kept under the cell, the engine's place among those of the cell, the whole request, and how often it
        was made before in this attempt: the same request made twice has two replies, and has them again.
        """
        places = itertools.count()
        return lambda engine: _Cached(engine, self, f"{name}\0{next(places)}")

    async def find(self, key: bytes) -> Response | None:
        """The reply that is kept under `key`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, key)

    async def keep(self, key: bytes, response: Response) -> None:
        """Keep a reply; it is on disk when this returns."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._keep, key, response)

    def close(self) -> None:
        """Close the file."""
        self._thread.submit(self._database.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, autocommit=True)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, reply TEXT) WITHOUT ROWID")
        except BaseException:
            database.close()
            raise
        return database

    def _find(self, key: bytes) -> Response | None:
        row = self._database.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else read(row[0])

    def _keep(self, key: bytes, response: Response) -> None:
        self._database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, written(response)))


class _Cached(Around):
    def __init__(self, engine: AsyncEngine, cache: Cache, name: str) -> None:
        super().__init__(engine)
        self._cache = cache
        self._name = name
        self._made = Counter[str]()
        self._lock = threading.Lock()

    async def complete(self, request: Request) -> Response:
        key = self._key(request)
        response = await self._cache.find(key)
        if response is None:
            response = await self.engine.complete(request)
            await self._cache.keep(key, response)
        else:
            for event in events_of(response):
                if told(event):
                    break
        return response

    def _key(self, request: Request) -> bytes:
        """Under which the reply to a request is kept that is made now. How late it is does not count."""
        asked = timeless(json.dumps(chat_body(request, {}), sort_keys=True))
        with self._lock:
            before = self._made[asked]
            self._made[asked] += 1
        return hashlib.blake2b(f"{self._name}\0{before}\0{asked}".encode(), digest_size=32).digest()
