"""One run: what it was asked, what it did, and what came of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response

from programs.errors import NotFound
from programs.events import SessionOpened
from programs.readable import readable
from server.exports import exported_run
from server.ui.excerpts import excerpt
from server.ui.rendering import render
from server.ui.scope import Whose
from server.ui.trace import glances
from store import Store, StoredRun

_PAGE: Final = 10_000  # events in one answer
_ANSWER = 3000  # characters of it that the page shows

router = APIRouter(prefix="/ui/runs/{run_id}")


async def _run(request: Request, run_id: str, tenant: Whose) -> StoredRun:
    """The run that is asked for.

    Raises:
        NotFound: the tenant has no such run.
    """
    store: Store = request.app.state.store
    run = await store.run(tenant, run_id)
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.")
    return run


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


Asked = Annotated[StoredRun, Depends(_run)]
"""The run that a page is about."""

Kept = Annotated[Store, Depends(_store)]
"""Where it is kept."""


@router.get("")
async def page(request: Request, run: Asked, store: Kept) -> HTMLResponse:
    """The tree of what a run did, beside a time line."""
    return render(request, "run.html", **await _head(store, run))


@router.get("/head")
async def head(request: Request, run: Asked, store: Kept) -> HTMLResponse:
    """The upper part of that page: for when the run has ended."""
    return render(request, "run_head.html", **await _head(store, run))


async def _head(store: Store, run: StoredRun) -> dict[str, Any]:
    seconds = (run.completed_at or time.time()) - run.created_at
    question = await _question(store, run)
    return {"run": run, "question": question, "seconds": seconds, "answer": excerpt(run.text, _ANSWER)}


async def _question(store: Store, run: StoredRun) -> str:
    """What it explores its context for; else the beginning of what was said last."""
    first = await store.happening(run.tenant, run.id, 0)
    return first.question if isinstance(first, SessionOpened) and first.session == run.id else run.question


@router.get("/glances")
async def seen(
    request: Request, run: Asked, store: Kept, after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1
) -> Response:
    """What followed event `after`: each is a list of values that `static/follow.js` names. Times count from the start.

    `more` says that there is more already, `done` that nothing will follow.
    """
    found, more = await glances(store, run, after, _PAGE)
    rows = [
        [
            *(one.number, one.kind, readable(one.session.removeprefix(run.id)), readable(one.place)),
            *(round(one.at - run.created_at, 4), round(one.seconds, 4)),
            *(one.prompt, one.completion, one.cached, int(one.failed), readable(one.label)),
        ]
        for one in found
    ]
    told = {
        "glances": rows,
        "more": more,
        "status": run.status,
        "done": run.completed_at is not None,
        "elapsed": round((run.completed_at or time.time()) - run.created_at, 3),
    }
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = await asyncio.to_thread(_packed if packed else _json, told)
    headers = {"Vary": "Accept-Encoding"} | ({"Content-Encoding": "gzip"} if packed else {})
    return Response(body, media_type="application/json", headers=headers)


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def _packed(told: dict[str, Any]) -> bytes:
    return gzip.compress(_json(told), compresslevel=4, mtime=0)


@router.get("/answer")
async def answer(run: Asked) -> Response:
    """The whole answer."""
    return plain(run.text)


@router.get("/json")
async def download(run: Asked, store: Kept) -> Response:
    """The run with its trajectory, as `rants sessions export` writes it."""
    trajectory = await store.trajectory(run.tenant, run.id)
    body = await asyncio.to_thread(lambda: json.dumps(exported_run(run, trajectory), indent=2))
    named = {"Content-Disposition": f'attachment; filename="{_file_name(run.id)}.json"'}
    return Response(body, media_type="application/json", headers=named)


def plain(text: str) -> Response:
    """A whole text, as nothing but text."""
    return Response(text.encode(errors="backslashreplace"), media_type="text/plain")


def _file_name(name: str) -> str:
    return "".join(
        character if (character.isascii() and character.isalnum()) or character in "-_" else "_" for character in name
    )
