"""Who asks, and whether they may ask now: keys, tenants and a token bucket for each."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Annotated

from fastapi import Depends, Request

from programs.errors import NotAuthenticated, RateLimited
from server.logs import bind
from server.settings import AuthSettings, RateLimitSettings

LOCAL = "local"
"""The tenant of everybody, while authentication is off."""


class Gatekeeper:
    """Knows the keys by their digests, and how much of its bucket each tenant has left."""

    def __init__(self, auth: AuthSettings, rates: RateLimitSettings) -> None:
        self._enabled = auth.enabled
        self._tenants = [(_digest(entry.key.get_secret_value()), entry.tenant_id) for entry in auth.api_keys]
        self._rates = rates
        self._buckets: dict[str, tuple[float, float]] = {}  # tenant -> (tokens left, when that was)

    def tenant(self, key: str | None) -> str:
        """The tenant that `key` belongs to. Takes the same time whichever key is sent, and however wrong it is.

        Raises:
            NotAuthenticated: no key, or one that is not known.
        """
        if not self._enabled:
            return LOCAL
        if not key:
            raise NotAuthenticated("No API key was sent. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
        digest = _digest(key)
        found = [tenant for known, tenant in self._tenants if hmac.compare_digest(known, digest)]
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


async def _tenant(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else None
    tenant: str = request.app.state.gatekeeper.tenant(key or request.headers.get("x-api-key"))
    bind(tenant=tenant)
    return tenant


async def _admitted(request: Request, tenant: Annotated[str, Depends(_tenant)]) -> str:
    request.app.state.gatekeeper.spend(tenant)
    return tenant


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant of a request that costs nothing."""

Admitted = Annotated[str, Depends(_admitted)]
"""The tenant of a request that counts against its rate limit."""
