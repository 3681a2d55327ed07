"""Who asks: keys and their tenants."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request

from programs.errors import NotAuthenticated
from server.grants import EVERYBODY, Grant
from server.settings import AuthSettings


class Gatekeeper:
    """Knows the keys by their digests."""

    def __init__(self, auth: AuthSettings) -> None:
        self._enabled = auth.enabled
        self._grants = [
            (_digest(entry.key.get_secret_value()), Grant(key=f"config-{index}", tenant=entry.tenant_id))
            for index, entry in enumerate(auth.api_keys)
        ]

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


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


async def grant_of(request: Request) -> Grant:
    """What the key of the request allows.

    Raises:
        NotAuthenticated: it has none, or one that is not known.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = token.strip() if scheme.lower() == "bearer" else None
    grant: Grant = request.app.state.gatekeeper.grant(key or request.headers.get("x-api-key"))
    return grant


async def _tenant(grant: Annotated[Grant, Depends(grant_of)]) -> str:
    return grant.tenant


Tenant = Annotated[str, Depends(_tenant)]
"""The tenant of a request that starts no run."""
