"""`/ui`: pages for the person who runs RANTS, that show what the model did with the context.

Each file has the routes of one page. They read the store and ask no model; the playground asks `/v1` from the browser,
as any client does.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, RedirectResponse

from programs.errors import NotFound
from server.ui.rendering import HEADERS

_STATIC = {file.name: file for file in (Path(__file__).parent / "static").iterdir()}


def _enabled(request: Request) -> None:
    """See that there are any pages.

    Raises:
        NotFound: they are switched off.
    """
    if not request.app.state.settings.ui.enabled:
        raise NotFound("There are no pages here: ui.enabled is false.")


router = APIRouter(include_in_schema=False, dependencies=[Depends(_enabled)])


@router.get("/ui")
async def home() -> RedirectResponse:
    """Where one begins."""
    return RedirectResponse("/ui/sessions")


@router.get("/ui/static/{name}")
async def static(name: str) -> FileResponse:
    """A style, a script or a picture."""
    if name not in _STATIC:
        raise NotFound(f"There is no file {name!r} here.")
    # Asked for again each time, and sent only where it has changed.
    return FileResponse(_STATIC[name], headers=HEADERS | {"Cache-Control": "no-cache"})
