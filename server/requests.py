"""What is known of every request, whatever it asks for: its id, its span, its counts, its line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.logs import bound
from server.metrics import Metrics
from server.traces import Traces

access = logging.getLogger("rants.access")

_SANE_ID = re.compile(rb"[\w.:-]{1,128}")
_QUIET = ("/health", "/metrics")
"""Paths that machines ask for all day: they are counted, and neither traced nor, at the level `info`, logged."""


class Requests:
    """Tells operators what came of every request, and puts `request.state.headers` on every answer.

    What an answer has of them itself stays. One is always there, `x-request-id`: the client's own where it sent one,
    else a new one.
    """

    def __init__(self, app: ASGIApp, *, app_state: FastAPI) -> None:
        self._app = app
        self._state = app_state.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        theirs = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = theirs.decode() if _SANE_ID.fullmatch(theirs) else f"req_{uuid.uuid4().hex}"
        headers = {"x-request-id": request_id}
        scope.setdefault("state", {}).update(request_id=request_id, headers=headers)
        with bound(request_id=request_id):
            if scope["path"].startswith(_QUIET):
                await self._answer(scope, receive, send, headers, logging.DEBUG)
                return
            traces: Traces = self._state.traces
            with traces.request(scope) as span:
                status = await self._answer(scope, receive, send, headers, logging.INFO)
                traces.answered(span, scope["method"], _route(scope), status)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str], level: int) -> int:
        """Answer, count and log; gives the status."""
        start = time.perf_counter()
        status = 500  # of what is raised here: the answer is given further out
        first_byte: float | None = None
        body = False
        seconds: float | None = None

        def count() -> float:
            nonlocal seconds
            if seconds is None:
                seconds = time.perf_counter() - start
                metrics: Metrics = self._state.metrics
                metrics.answered(scope["method"], _route(scope), status, seconds, first_byte)
            return seconds

        async def noting(message: Message) -> None:
            nonlocal status, first_byte, body
            if message["type"] == "http.response.start":
                status = message["status"]
                added = {name.lower().encode(): value.encode() for name, value in headers.items()}
                own = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in added.items() if name not in own),
                ]
            elif not body:
                body = True
                if message.get("more_body"):
                    first_byte = time.perf_counter() - start
            if message["type"] == "http.response.body" and not message.get("more_body"):
                count()  # before it is sent: who has the whole answer finds it counted
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError:
            status = 499
            raise
        finally:
            took = count()
            if access.isEnabledFor(level):
                method, route = scope["method"], _route(scope)
                about = {"method": method, "route": route, "status": status, "seconds": round(took, 6)}
                access.log(level, "%s %s %d %.3f s", method, route or "(no route)", status, took, extra=about)
        return status


def _route(scope: Scope) -> str | None:
    """The template of the path; None where there is no such route."""
    return getattr(scope.get("route"), "path", None)
