"""`/openapi.json`: what FastAPI cannot tell from the routes alone, so that the document is true.

Every error of every route has one shape, and FastAPI's own 422 is a 400 here (`server.errors`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_ABOUT = (
    "RANTS serves a Recursive Language Model as one ordinary model, in the form of OpenAI's APIs. Keys are asked for"
    " while `auth.enabled` is on. Request bodies may have keys beyond those that are named here."
)
_REFERENCE = "#/components/schemas/{model}"
_EVENTS = {
    "itemSchema": {
        "type": "object",
        "description": "With `stream`: the data of each event is a JSON object of OpenAI's types.",
        "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
        "required": ["data"],
    }
}


class ErrorDetail(BaseModel):
    """What went wrong: for people, and for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The body of every answer that is an error."""

    error: ErrorDetail


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors with which a route may answer, for its `responses`."""
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model="ErrorAnswer")}}}
    return {status: {"content": content, "description": HTTPStatus(status).phrase} for status in statuses}


def answers(model: type[BaseModel], *failures: int, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: an object, or (with `stream`) also events, and the errors."""
    content = {"text/event-stream": _EVENTS} if stream else {}
    return {200: {"model": model, "description": "The answer.", "content": content}, **errors(*failures)}


def describe(app: FastAPI) -> None:
    """Have `app` tell of itself at `/openapi.json`."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
            made["components"]["securitySchemes"] = _SECURITY
            _, errors = models_json_schema([(ErrorAnswer, "serialization")], ref_template=_REFERENCE)
            made["components"]["schemas"] |= errors["$defs"]
            for name in ("HTTPValidationError", "ValidationError"):
                made["components"]["schemas"].pop(name, None)
            for path, operations in made["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if path.startswith("/v1/"):
                        operation["security"] = [{scheme: []} for scheme in _SECURITY]
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
