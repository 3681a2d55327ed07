"""Who asks, and whether they may ask now: keys, tenants, and budgets of a day."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from programs.errors import RantsError
from server.errors import error_response
from server.gatekeeper import Gatekeeper
from server.grants import Grant
from server.logs import bind

OPEN = frozenset(
    {"/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
)
"""What is answered without a key: whether the process lives and can serve, and what is in the source anyway.

`/metrics` asks for a key of its own.
"""


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
