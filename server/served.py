"""`GET /v1/models`: the one model that clients see."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from programs.errors import NotFound
from programs.transcript import BYTES_PER_TOKEN
from server.auth import Tenant
from server.openapi import answers
from server.wire import Models, ServedModel

router = APIRouter()


def served(request: Request, model: str) -> None:
    """See that `model` is the one that is served.

    Raises:
        NotFound: it is another.
    """
    name = request.app.state.settings.rlm.rants_one.name
    if model != name:
        raise NotFound(
            f"The model {model!r} does not exist here; this server serves {name!r}.",
            param="model",
            code="model_not_found",
        )


@router.get("/v1/models", response_model=None, responses=answers(Models, 401))
async def list_models(request: Request, tenant: Tenant) -> dict[str, Any]:
    """All there is: one."""
    return {"object": "list", "data": [_model(request)]}


@router.get("/v1/models/{model}", response_model=None, responses=answers(ServedModel, 401, 404))
async def get_model(request: Request, model: str, tenant: Tenant) -> dict[str, Any]:
    """That one, by name."""
    served(request, model)
    return _model(request)


def _model(request: Request) -> dict[str, Any]:
    state = request.app.state
    return {
        "id": state.settings.rlm.rants_one.name,
        "object": "model",
        "created": state.started_at,
        "owned_by": "rants",
        # What does not fit a model's window is explored: only the size of a request bounds it.
        "context_length": state.settings.limits.max_request_bytes // BYTES_PER_TOKEN,
    }
