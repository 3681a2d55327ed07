"""What holds for everything below `/ui`, before anybody is let in."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from programs.errors import NotFound, RantsError
from server.browsers import is_page, see_that_it_is_asked_here
from server.errors import error_response
from server.settings import Settings
from server.ui.rendering import HEADERS


class Guard:
    """Puts `HEADERS` on every answer below `/ui`, and answers nothing there that should not be asked."""

    def __init__(self, app: ASGIApp, *, app_state: FastAPI) -> None:
        self._app = app
        self._state = app_state.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and is_page(scope["path"]):
            scope["state"]["headers"].update(HEADERS)
            try:
                _check(self._state.settings, Headers(scope=scope))
            except RantsError as error:
                # In JSON for everybody: a page would ask for styles that are refused as well.
                await error_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _check(settings: Settings, headers: Headers) -> None:
    """See that there are pages, and that they are asked for by a name that they may be asked by.

    Raises:
        NotFound: pages are switched off.
        Forbidden: another name was used.
    """
    if not settings.ui.enabled:
        raise NotFound("There are no pages here: ui.enabled is false.")
    see_that_it_is_asked_here(settings, headers)
