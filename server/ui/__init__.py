"""`/ui`: pages for the person who runs RANTS, that show what the model did with the context.

Each file has the routes of one page. They read the store and ask no model; the playground asks `/v1` from the browser,
as any client does.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, RedirectResponse

from programs.errors import NotFound
from server.browsers import HOME
from server.ui import contexts, login, nodes, overview, playground, runs, sessions

_STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}


router = APIRouter(include_in_schema=False)
for page in (login, sessions, runs, nodes, contexts, overview, playground):
    router.include_router(page.router)


@router.get("/ui")
async def home() -> RedirectResponse:
    """Where one begins."""
    return RedirectResponse(HOME, 303)


@router.get("/ui/static/{name}")
async def static(name: str) -> FileResponse:
    """A style, a script or a picture."""
    if name not in _STATIC:
        raise NotFound(f"There is no file {name!r} here.")
    # Asked for again each time, and sent only where it has changed.
    return FileResponse(_STATIC[name], headers={"Cache-Control": "no-cache"})
