"""`GET /v1/models`: the one model that clients see."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from programs.errors import NotFound
from programs.transcript import BYTES_PER_TOKEN
from server.auth import Granted
from server.grants import Grant
from server.openapi import answers
from server.wire import Models, ServedModel

router = APIRouter()


def served(request: Request, grant: Grant, model: str) -> None:
    """See that `model` is one that the key may ask.

    Raises:
        NotFound: it is another.
    """
    names = [model["id"] for model in _models(request, grant)]
    if model not in names:
        raise NotFound(
            f"The model {model!r} does not exist here; with this key there is {', '.join(map(repr, names)) or 'none'}.",
            param="model",
            code="model_not_found",
        )


@router.get("/v1/models", response_model=None, responses=answers(Models, 401, 503))
async def list_models(request: Request, grant: Granted) -> dict[str, Any]:
    """All that the key may ask: one, or none."""
    return {"object": "list", "data": _models(request, grant)}


@router.get("/v1/models/{model}", response_model=None, responses=answers(ServedModel, 401, 404, 503))
async def get_model(request: Request, model: str, grant: Granted) -> dict[str, Any]:
    """That one, by name."""
    served(request, grant, model)
    (found,) = _models(request, grant)
    return found


def _models(request: Request, grant: Grant) -> list[dict[str, Any]]:
    state = request.app.state
    name = state.settings.rlm.rants_one.name
    if grant.models is not None and name not in grant.models:
        return []
    model = {
        "id": name,
        "object": "model",
        "created": state.started_at,
        "owned_by": "rants",
        # What does not fit a model's window is explored: only the size of a request bounds it.
        "context_length": state.settings.limits.max_request_bytes // BYTES_PER_TOKEN,
    }
    return [model]
