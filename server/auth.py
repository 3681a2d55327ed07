"""Who asks, and whether they may ask now: keys, tenants, and budgets of a day."""

from __future__ import annotations

import hmac
import time
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from programs.errors import KeyExpired, NotAuthenticated, QuotaSpent, RantsError
from server.errors import error_response
from server.grants import EVERYBODY, Grant
from server.keys import Keyring, digest
from server.logs import bind
from server.settings import ApiKey, AuthSettings
from store import DAY, Key, Store

OPEN = frozenset(
    {"/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
)
"""What is answered without a key: whether the process lives and can serve, and what is in the source anyway.

`/metrics` asks for a key of its own.
"""


class Gatekeeper:
    """Knows the keys by their digests, and what each has left of its day.

    Args:
        auth: the keys of the configuration, and whether any is asked for.
        store: the keys that were made with `rants keys create`, and what was spent of the day.
    """

    def __init__(self, auth: AuthSettings, store: Store) -> None:
        self._enabled = auth.enabled
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
        if not self._enabled:
            return EVERYBODY
        if not key:
            raise NotAuthenticated("No API key was sent. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`.")
        sent = digest(key)
        found = [grant for known, grant in self._configured if hmac.compare_digest(known, sent)]
        if found:
            _see_that_it_lasts(found[0])
            return found[0]
        made = await self._keyring.find(key)
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


class Authenticate:
    """Lets nobody in without a key, except to what is `OPEN`.

    It stands before the routes, so that one which forgets to ask is closed, and before the body is read, so that a
    stranger's is not.
    """

    def __init__(self, app: ASGIApp, *, app_state: FastAPI) -> None:
        self._app = app
        self._state = app_state.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            gatekeeper: Gatekeeper = self._state.gatekeeper
            try:
                grant = await gatekeeper.grant(_sent(Headers(scope=scope)))
            except RantsError as error:
                await error_response(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["grant"] = grant
            bind(tenant=grant.tenant)
        await self._app(scope, receive, send)


def _sent(headers: Headers) -> str | None:
    """The key that was sent."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return (token.strip() if scheme.lower() == "bearer" else None) or headers.get("x-api-key")


async def grant_of(request: Request) -> Grant:
    """What the key of the request allows: `Authenticate` has left it there."""
    grant: Grant = request.state.grant
    return grant


async def _tenant(grant: Annotated[Grant, Depends(grant_of)]) -> str:
    return grant.tenant


Granted = Annotated[Grant, Depends(grant_of)]
"""What the key of a request allows that costs nothing."""

Tenant = Annotated[str, Depends(_tenant)]
"""The tenant of a request that costs nothing."""


async def count_call(request: Request, grant: Grant) -> None:
    """Count the run that is about to begin as one of its key's day; see `Gatekeeper.count_call`."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    await gatekeeper.count_call(grant)
