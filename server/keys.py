"""API keys: making one, telling a weak one, and finding one among those that the store has."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import replace
from hashlib import sha256

from programs.errors import StoreError
from store import Key, Store

logger = logging.getLogger("rants")

PREFIX = "rants-"
"""How a key begins that was made here: whoever finds one in a log or a repository knows what it is."""

SHORTEST = 24
"""Characters of a key."""

_FEWEST_DIFFERENT = 10
_PLACEHOLDERS = ("change-me", "change_me", "changeme", "example", "placeholder", "your-key", "your-api-key", "your_api")
_APART = 0.2  # seconds from one look into the store to the next
_HOUR = 3600.0


def make() -> str:
    """A new key: 256 random bits behind the prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def make_id() -> str:
    """A public id for a new key. It says nothing about the key."""
    return f"key_{secrets.token_hex(8)}"


def digest(key: str) -> str:
    """What is kept of a key: its SHA-256.

    A slow hash with a salt protects what people think up, for that can be guessed. Nobody guesses 256 random bits,
    however fast each try is; and a fast one costs each request a microsecond.
    """
    return sha256(key.encode()).hexdigest()


def weakness(key: str) -> str | None:
    """What makes a key too easy to guess, or to send; None where nothing does. It does not repeat the key."""
    if not (key.isascii() and key.isprintable() and " " not in key):
        return "it has characters that a header does not carry; use letters, digits and signs of ASCII"
    if len(key) < SHORTEST:
        return f"it has fewer than {SHORTEST} characters"
    if any(words in key.lower() for words in _PLACEHOLDERS):
        return "it is the placeholder of an example"
    if key.isdecimal():
        return "it has nothing but digits"
    if len(set(key)) < _FEWEST_DIFFERENT:
        return f"it has fewer than {_FEWEST_DIFFERENT} different characters"
    if key in (key + key)[1:-1]:
        return "it repeats itself"
    return None


class Keyring:
    """The keys of the store, as they were at most `seconds` ago.

    All of them are read at once, and not the one that is asked for: however many wrong keys are tried, the database is
    asked five times a second at most, and nothing is remembered of them. It is asked for two numbers, and for all keys
    only when one was made or revoked.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._keys: dict[str, Key] = {}
        self._count = (0, 0)
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, wanted: str) -> Key | None:
        """The key of that digest, also one that has expired or been revoked; None where there is none.

        Raises:
            StoreError: the store could not be asked.
        """
        now = time.monotonic()
        await self._read(now - self._seconds)
        if wanted not in self._keys:
            await self._read(now)  # it may have been made just now
        return self._keys.get(wanted)

    async def used(self, key: Key) -> None:
        """Keep that the key is used, once an hour."""
        now = time.time()
        if key.used_at is not None and now - key.used_at < _HOUR:
            return
        self._keys[key.digest] = replace(key, used_at=now)
        try:
            await self._store.used_key(key.id, now)
        except StoreError as error:
            # Nobody is turned away for this: what only reads still works on a disk that is full.
            logger.warning("That key %s is used could not be written down. %s", key.id, error)

    async def _read(self, since: float) -> None:
        """See that what is known was read after that moment."""
        if self._read_at > since:
            return
        async with self._reading:
            if self._read_at > since:
                return  # somebody else has done it meanwhile
            await asyncio.sleep(self._read_at + _APART - time.monotonic())
            at = time.monotonic()
            if (count := await self._store.count_keys()) != self._count:
                self._keys = {key.digest: key for key in await self._store.keys()}
                self._count = count
            self._read_at = at
