"""`/ui/sessions`: the list of sessions, and the page of one."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from starlette.responses import Response

from programs.errors import NotFound
from server.runs import Runs
from server.ui.filters import STATUSES, Filters, after
from server.ui.rendering import render
from server.ui.scope import Listed, Whose
from store import Store
from store.titles import question

router = APIRouter()

_SESSIONS: Final = 50  # of one page
_RUNS: Final = 100  # likewise
_AT_WORK: Final = 10  # runs that are shown before they are in the store


@router.get("/ui/sessions")
async def sessions(request: Request, tenant: Listed) -> Response:
    """The sessions that were last used, newest first.

    The page's script asks again and again, with the header `x-part`, and is given the list alone, where it has changed.
    """
    store: Store = request.app.state.store
    filters = Filters(request.query_params, tenant, _SESSIONS + 1)
    found = [] if filters.problems else await store.find_sessions(filters.wanted)
    more = after(found[_SESSIONS - 1]) if len(found) > _SESSIONS else None
    runs: Runs = request.app.state.runs
    values: dict[str, Any] = {
        "filters": filters,
        "tenant": tenant,
        "sessions": found[:_SESSIONS],
        "more": more,
        # They have no page yet: a run that only talks is written down when it has ended.
        "at_work": [] if any(filters.typed.values()) else runs.unwritten(tenant)[:_AT_WORK],
        "question": question,
    }
    part = render(request, "_sessions.html", **values)
    tag = f'"{hashlib.blake2b(bytes(part.body), digest_size=16).hexdigest()}"'
    if "x-part" not in request.headers:
        status = 400 if filters.problems else 200
        listed = Markup(bytes(part.body).decode())  # noqa: S704  (a template has escaped it)
        return render(request, "sessions.html", status, **values, statuses=STATUSES, tag=tag, listed=listed)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    part.headers["ETag"] = tag
    return part


@router.get("/ui/sessions/{session_id}")
async def session(
    request: Request, tenant: Whose, session_id: str, page: Annotated[int, Query(ge=1, le=10**6)] = 1
) -> Response:
    """One session, with its runs, oldest first."""
    store: Store = request.app.state.store
    told = next((found for found in await store.sessions_of(session_id) if found.tenant == tenant), None)
    if told is None:
        raise NotFound(f"There is no session {session_id!r}.")
    runs = await store.runs_of(tenant, session_id, limit=_RUNS, offset=(page - 1) * _RUNS)
    place = {"first": (page - 1) * _RUNS + 1, "page": page, "pages": max(1, -(-told.runs // _RUNS))}
    return render(request, "session.html", session=told, runs=runs, **place)
