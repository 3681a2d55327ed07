"""Context C of a run, in windows: also where it has a hundred megabytes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from programs.errors import NotFound
from server.ui.rendering import render
from server.ui.runs import Asked, Kept
from store.looking import Found

_WINDOW = 16_000  # bytes
_BEFORE = 1200  # bytes that are shown before what was looked for
_MOST_MESSAGES = 200  # that are listed beside the window

router = APIRouter(prefix="/ui/runs/{run_id}/context")

Bytes = Annotated[int, Query(ge=0, le=2**40)]


@router.get("")
async def page(
    request: Request,
    run: Asked,
    store: Kept,
    *,
    message: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    at: Bytes = 0,
    until: Annotated[int | None, Query(ge=1, le=2**40)] = None,
    find: Annotated[str, Query(max_length=1000)] = "",
    search: bool = False,
    exact: bool = False,
) -> HTMLResponse:
    """A window into one message.

    Args:
        request: of the page.
        run: whose context it is.
        store: where that is kept.
        message: counted from 0.
        at: where the window begins, in bytes of the message as it is kept.
        until: where it ends, in bytes; by default it has the usual size.
        find: what is marked in it.
        exact: begin just there, and not a little before where the text was found.
        search: whether to go to where that stands next, after `at`, or else from the beginning.

    Raises:
        NotFound: there is no such place.
    """
    parts = await store.parts(run.tenant, run.id)
    missing = False
    if search and find:
        place = await store.locate(run.tenant, run.id, find, Found(message, at))
        place = place or await store.locate(run.tenant, run.id, find)
        missing = place is None
        if place is not None:
            message, at = place.index, place.at
    # What was found is shown with what stands before it.
    begin = max(0, at - _BEFORE) if find and not missing and not exact else at
    size = _WINDOW if until is None else min(max(until - begin, 1), _WINDOW)
    window = await store.window(run.tenant, run.id, message, begin, size)
    if until is not None and window is not None and window.at < begin:
        # It has been moved to where a character begins, and would end as much too early.
        window = await store.window(run.tenant, run.id, message, window.at, size + begin - window.at)
    if window is None and parts:
        raise NotFound(f"There is no message {message} in the context of {run.id!r}.")
    # What is said begins behind the role.
    start = await store.window(run.tenant, run.id, message, 0, 1)
    first = max(0, min(message - _MOST_MESSAGES // 2, len(parts) - _MOST_MESSAGES))
    return render(
        request,
        "context.html",
        run=run,
        parts=parts[first : first + _MOST_MESSAGES],
        count=len(parts),
        whole=sum(part.size for part in parts),
        message=message,
        at=at,
        window=window,
        start=start.at if start else 0,
        find=find,
        missing=missing,
        pieces=window.text.split(find) if window and find else [window.text if window else ""],
        window_size=_WINDOW,
    )
