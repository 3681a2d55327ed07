"""Knowing the keys: what each allows, and what it has left of its day."""

from __future__ import annotations

import hmac
import time
from datetime import UTC, datetime
from typing import Final

from programs.errors import KeyExpired, NotAuthenticated, QuotaSpent
from server.grants import EVERYBODY, Grant
from server.keys import PREFIX, Keyring, digest
from server.settings import ApiKey, AuthSettings
from store import DAY, Key, Store


class Gatekeeper:
    """Knows the keys by their digests, and what each has left of its day.

    Args:
        auth: the keys of the configuration, and whether any is asked for.
        store: the keys that were made with `rants keys create`, and what was spent of the day.
    """

    def __init__(self, auth: AuthSettings, store: Store) -> None:
        self.enabled: Final = auth.enabled
        self._configured = [
            (digest(entry.key.get_secret_value()), _configured(entry, name))
            for name, entry in zip(auth.names, auth.api_keys, strict=True)
        ]
        self._store = store
        self._keyring = Keyring(store, auth.cache_seconds)
        self._spent: dict[str, tuple[int, str]] = {}  # key -> the day that it has spent its budget of, in words

    async def grant(self, key: str | None) -> Grant:
        """What `key` allows.

        Keys are compared by their digests, so that the time this takes tells nothing about them.

        Raises:
            NotAuthenticated: no key, one that is not known, or one that has expired or been revoked.
            StoreError: the store could not be asked.
        """
        if not self.enabled:
            return EVERYBODY
        if not key:
            raise NotAuthenticated("No API key was sent. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
        return await self.grant_of(digest(key), made_here=key.startswith(PREFIX))

    async def grant_of(self, sent: str, *, made_here: bool = True) -> Grant:
        """What the key of that digest allows now.

        Args:
            sent: the digest.
            made_here: the key may be one of the store's.

        Raises:
            NotAuthenticated: there is no such key, or it has expired or been revoked.
            StoreError: the store could not be asked.
        """
        found = [grant for known, grant in self._configured if hmac.compare_digest(known, sent)]
        if found:
            _see_that_it_lasts(found[0])
            return found[0]
        made = await self._keyring.find(sent) if made_here else None
        if made is None:
            raise NotAuthenticated("The API key is not known here.")
        if made.revoked_at is not None:
            raise NotAuthenticated("The API key has been revoked.")
        grant = _made(made)
        _see_that_it_lasts(grant)
        await self._keyring.used(made)
        return grant

    async def count_call(self, grant: Grant) -> None:
        """Count one more run of the key's day. What is begun within the budget may finish.

        Raises:
            QuotaSpent: the calls or the tokens of the day are spent.
            StoreError: the store could not be asked.
        """
        calls, tokens = grant.calls_per_day, grant.tokens_per_day
        if calls is None and tokens is None:
            return
        now = time.time()
        day, said = self._spent.get(grant.key, (None, ""))
        if day == int(now // DAY):
            raise QuotaSpent(said, retry_after=DAY - now % DAY)
        try:
            await self._store.take_call(grant.tenant, grant.key, now, calls=calls, tokens=tokens)
        except QuotaSpent as error:
            self._spent[grant.key] = int(now // DAY), str(error)
            raise


def _configured(entry: ApiKey, name: str) -> Grant:
    return Grant(
        key=f"config-{name}",
        tenant=entry.tenant_id,
        models=entry.models,
        tools=entry.tools,
        calls_per_day=entry.calls_per_day,
        tokens_per_day=entry.tokens_per_day,
        expires_at=entry.expires_at.timestamp() if entry.expires_at else None,
        operator=entry.operator,
    )


def _made(key: Key) -> Grant:
    return Grant(
        key=key.id,
        tenant=key.tenant,
        models=key.models,
        tools=key.tools,
        calls_per_day=key.calls_per_day,
        tokens_per_day=key.tokens_per_day,
        expires_at=key.expires_at,
    )


def _see_that_it_lasts(grant: Grant) -> None:
    """See that the key has not expired.

    Raises:
        KeyExpired: it has.
    """
    if grant.expires_at is not None and time.time() >= grant.expires_at:
        when = datetime.fromtimestamp(grant.expires_at, UTC)
        raise KeyExpired(f"The API key expired at {when:%Y-%m-%d %H:%M} UTC.")
