"""`/ui/playground`: ask, and watch the answer and the recursion grow. The browser asks `/v1`, as any client does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from server.settings import Settings
from server.ui.rendering import render

router = APIRouter()


@router.get("/ui/playground")
async def playground(request: Request) -> HTMLResponse:
    """The page."""
    settings: Settings = request.app.state.settings
    return render(
        request,
        "playground.html",
        model=settings.rlm.rants_one.name,
        limit=settings.limits.max_request_bytes,
        authenticated=settings.auth.enabled,
    )
