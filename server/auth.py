"""Who asks, and whether they may ask now: keys, tenants and a token bucket for each."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Annotated

from fastapi import Depends, Request

from programs.errors import NotAuthenticated, RateLimited
from server.grants import EVERYBODY, Grant
from server.logs import bind
from server.settings import AuthSettings, RateLimitSettings


class Gatekeeper:
    """Knows the keys by their digests, and how much of its bucket each tenant has left."""

    def __init__(self, auth: AuthSettings, rates: RateLimitSettings) -> None:
        self._enabled = auth.enabled
        self._grants = [
            (_digest(entry.key.get_secret_value()), Grant(key=f"config-{index}", tenant=entry.tenant_id))
            for index, entry in enumerate(auth.api_keys)
        ]
        self._rates = rates
        self._buckets: dict[str, tuple[float, float]] = {}  # tenant -> (tokens left, when that was)

    def grant(self, key: str | None) -> Grant:
        """What `key` allows. Takes the same time whichever key is sent, and however wrong it is.

        Raises:
            NotAuthenticated: no key, or one that is not known.
        """
        if not self._enabled:
            return EVERYBODY
        if not key:
            raise NotAuthenticated("No API key was sent. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
        digest = _digest(key)
        found = [grant for known, grant in self._grants if hmac.compare_digest(known, digest)]
        if not found:
            raise NotAuthenticated("The API key is not known here.")
        return found[0]

    def spend(self, tenant: str) -> None:
        """Take one request out of the tenant's bucket.

        Raises:
            RateLimited: it is empty.
        """
        if not self._rates.enabled:
            return
        per_second = self._rates.requests_per_minute / 60
        now = time.monotonic()
        left, then = self._buckets.get(tenant, (float(self._rates.burst), now))
        left = min(float(self._rates.burst), left + (now - then) * per_second)
        if left < 1:
            self._buckets[tenant] = (left, now)
            wait = (1 - left) / per_second
            raise RateLimited(f"Too many requests; try again in {wait:.1f} seconds.", retry_after=wait)
        self._buckets[tenant] = (left - 1, now)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def _grant(request: Request) -> Grant:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else None
    grant: Grant = request.app.state.gatekeeper.grant(key or request.headers.get("x-api-key"))
    bind(tenant=grant.tenant)
    return grant


async def _tenant(grant: Annotated[Grant, Depends(_grant)]) -> str:
    return grant.tenant


async def _admitted(request: Request, grant: Annotated[Grant, Depends(_grant)]) -> Grant:
    request.app.state.gatekeeper.spend(grant.tenant)
    return grant


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant of a request that costs nothing."""

Admitted = Annotated[Grant, Depends(_admitted)]
"""What the key of a request allows that counts against its limits."""
