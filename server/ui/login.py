"""`/ui/login` and `/ui/logout`: a key for a cookie, and back."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from programs.errors import NotAuthenticated
from server import logins
from server.browsers import HOME, inside
from server.gatekeeper import Gatekeeper
from server.settings import Settings
from server.ui.rendering import render
from store import Store

router = APIRouter()

_LONGEST_FORM = 4096  # bytes
# One sentence, whatever is wrong: nobody learns that there has been such a key.
_WRONG: Final = "This key is not good here. It may be mistyped, expired or revoked."


@router.get("/ui/login")
async def form(request: Request, then: Annotated[str, Query(alias="next")] = HOME) -> Response:
    """The form that asks for the key."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    if not gatekeeper.enabled:
        return RedirectResponse(inside(then), 303)
    return render(request, "login.html", then=inside(then), wrong="")


@router.post("/ui/login")
async def log_in(request: Request) -> Response:
    """Take the key, give a cookie, and go where the browser wanted to go."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    store: Store = request.app.state.store
    settings: Settings = request.app.state.settings
    sent = await _form(request)
    then = inside(sent.get("next", HOME))
    if not gatekeeper.enabled:
        return RedirectResponse(then, 303)
    seconds = settings.ui.login_hours * 3600
    try:
        token = await logins.begin(gatekeeper, store, sent.get("key", "").strip(), seconds=seconds)
    except NotAuthenticated:
        return render(request, "login.html", 401, then=then, wrong=_WRONG)
    if before := request.cookies.get(logins.COOKIE):
        await logins.end(store, before)
    answer = RedirectResponse(then, 303)
    https = request.scope["scheme"] == "https"
    answer.set_cookie(logins.COOKIE, token, max_age=int(seconds), secure=https, httponly=True, samesite="lax")
    return answer


@router.post("/ui/logout")
async def log_out(request: Request) -> Response:
    """End the login."""
    if token := request.cookies.get(logins.COOKIE):
        await logins.end(request.app.state.store, token)
    answer = RedirectResponse("/ui/login", 303)
    answer.delete_cookie(logins.COOKIE, httponly=True, samesite="lax")
    return answer


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form that was sent.

    Raises:
        HTTPException: it is longer than a key could make it.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, f"the form is longer than {_LONGEST_FORM} bytes")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}
