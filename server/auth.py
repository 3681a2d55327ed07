"""Who asks, and whether they may ask now: keys, tenants, and budgets of a day."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from programs.errors import NotAuthenticated, RantsError
from server import logins
from server.browsers import SAFE, is_page, see_that_it_is_asked_here, see_that_it_is_ours, wants_page
from server.errors import Shown, error_response
from server.gatekeeper import Gatekeeper
from server.grants import Grant
from server.logs import bind

OPEN = frozenset(
    {
        *("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"),
        *("/ui/login", "/ui/logout"),
    }
)
"""What is answered without a key: whether the process lives and can serve, and what is in the source anyway.

`/metrics` asks for a key of its own. What is below `/ui/static/` is open as well.
"""


def is_open(path: str) -> bool:
    """Whether it is answered without a key; see `OPEN`."""
    return path in OPEN or path.startswith("/ui/static/")


class Authenticate:
    """Lets nobody in without a key, or a login that stands for one, except to what is `OPEN`.

    It stands before the routes, so that one which forgets to ask is closed, and before the body is read, so that a
    stranger's is not.
    """

    def __init__(self, app: ASGIApp, *, app_state: FastAPI, shown: Shown) -> None:
        self._app = app
        self._state = app_state.state
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            request = Request(scope)
            try:
                grant = await self._grant(request)
            except RantsError as error:
                await self._refusal(request, error)(scope, receive, send)
                return
            if grant is not None:
                scope.setdefault("state", {})["grant"] = grant
                bind(tenant=grant.tenant)
        await self._app(scope, receive, send)

    async def _grant(self, request: Request) -> Grant | None:
        """What the request may do; None where nothing has to be shown for it.

        Raises:
            NotAuthenticated: it has no key that is good, and no login.
            Forbidden: a page of another site asks, or may be asking.
            StoreError: the store could not be asked.
        """
        path, headers = request.scope["path"], request.headers
        gatekeeper: Gatekeeper = self._state.gatekeeper
        page, safe = is_page(path), request.method in SAFE
        opened, key = is_open(path), _sent(headers)
        if page and not safe and (opened or not gatekeeper.enabled):
            see_that_it_is_ours(headers)
        if opened:
            return None
        if not page:  # of pages it has been seen: see `server.ui.guard`
            see_that_it_is_asked_here(self._state.settings, headers)
        token = request.cookies.get(logins.COOKIE)
        if key or not token or not gatekeeper.enabled or not (page or path.startswith("/v1/")):
            return await gatekeeper.grant(key)
        grant = await logins.grant_of(gatekeeper, self._state.store, token)
        # A page may be opened from a link that stands elsewhere; nothing else may be asked from elsewhere.
        if not (page and safe):
            see_that_it_is_ours(headers, silent=safe)
        return grant

    def _refusal(self, request: Request, error: RantsError) -> Response:
        """What is answered instead. Somebody who wants to see a page is asked to log in."""
        path = request.scope["path"]
        if isinstance(error, NotAuthenticated) and is_page(path) and wants_page(request.method, request.headers):
            query = request.scope["query_string"].decode("latin-1")
            then = quote(path) + (f"?{query}" if query else "")
            return RedirectResponse(f"/ui/login?{urlencode({'next': then})}", 303)
        return self._shown(request, error_response(error))


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
