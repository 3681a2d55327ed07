"""Which HTTP status each error gets, in OpenAI's shape: `{"error": {message, type, param, code}}`.

Permanent errors are 4xx: clients retry a 5xx for over a minute.
Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from programs.errors import (
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    BadReply,
    ConfigurationError,
    Forbidden,
    InvalidRequest,
    KeyExpired,
    LeaseLost,
    NotAuthenticated,
    NotFound,
    Overloaded,
    QuotaSpent,
    RantsError,
    RateLimited,
    StoreError,
)

logger = logging.getLogger("rants")


@dataclass(frozen=True, slots=True)
class Shape:
    """An error as the wire says it."""

    status: int
    type: str
    code: str | None = None


_SHAPES: dict[type[RantsError], Shape] = {
    InvalidRequest: Shape(400, "invalid_request_error"),
    NotFound: Shape(404, "invalid_request_error", "not_found"),
    NotAuthenticated: Shape(401, "invalid_request_error", "invalid_api_key"),
    KeyExpired: Shape(401, "invalid_request_error", "expired_api_key"),
    Forbidden: Shape(403, "invalid_request_error", "forbidden"),
    RateLimited: Shape(429, "requests", "rate_limit_exceeded"),
    QuotaSpent: Shape(429, "insufficient_quota", "insufficient_quota"),
    BackendRejected: Shape(400, "invalid_request_error", "backend_rejected"),
    BackendUnavailable: Shape(503, "server_error", "backend_unavailable"),
    BackendTimeout: Shape(504, "server_error", "backend_timeout"),
    BadReply: Shape(502, "server_error", "bad_reply"),
    Overloaded: Shape(503, "server_error", "overloaded"),
    StoreError: Shape(503, "server_error", "storage_error"),
    LeaseLost: Shape(503, "server_error", "taken_over"),
    ConfigurationError: Shape(500, "server_error", "configuration_error"),
}
_LONGEST_PATH = 200  # characters that are repeated
_BUG = Shape(500, "server_error", "internal_error")


def shape(error: BaseException) -> Shape:
    """Status, type and code of `error`; anything outside the family is a bug of ours."""
    for kind in type(error).__mro__:
        if found := _SHAPES.get(kind):
            what = error.what if isinstance(error, RateLimited) else found.type
            return Shape(found.status, what, getattr(error, "code", None) or found.code)
    return _BUG


def sentence(error: BaseException) -> str:
    """What the client is told; the details of a bug stay in the log."""
    return (
        str(error) if isinstance(error, RantsError) else "Something went wrong inside RANTS; the log has the details."
    )


def error_body(
    message: str, kind: str, *, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, Any]]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_response(error: BaseException) -> JSONResponse:
    """The whole answer for an error that was raised before anything was sent."""
    found = shape(error)
    body = error_body(sentence(error), found.type, param=getattr(error, "param", None), code=found.code)
    headers = {}
    if (retry_after := getattr(error, "retry_after", None)) is not None:
        # Whole seconds for everybody; OpenAI's own clients look at the milliseconds first.
        headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        headers["Retry-After-Ms"] = str(max(1, math.ceil(retry_after * 1000)))
    if found.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, found.status, headers)


type Shown = Callable[[Request, JSONResponse], Response]
"""Gives an answer that says an error another form, for whoever cannot read that one."""


def install(app: FastAPI, shown: Shown) -> None:
    """Have every error of `app` leave in OpenAI's shape, or as `shown` gives it."""

    @app.exception_handler(RantsError)
    async def on_rants_error(request: Request, error: RantsError) -> Response:
        return shown(request, error_response(error))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        first, *more = error.errors()
        # Where a value may be one of several kinds, the problem that lies deepest is that of the kind that was meant.
        same = [first, *(other for other in more if other["loc"][:2] == first["loc"][:2])]
        problem = max(same, key=lambda each: len(each["loc"]))
        param = _path(problem["loc"])
        if problem["type"] == "json_invalid":
            said, param = f"The body is not valid JSON: {problem['ctx']['error']}.", None
        else:
            said = f"{param or 'The body'}: {problem['msg']}."
        return shown(request, error_response(InvalidRequest(said, param=param, code=_CODES.get(problem["type"]))))

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        # Not `request.url`: it is made of headers, which may make none.
        said = f"{request.method} {request.scope['path'][:_LONGEST_PATH]}: {error.detail}"
        body = error_body(said, "invalid_request_error")
        return shown(request, JSONResponse(body, error.status_code, error.headers))

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> Response:
        logger.error("a bug while answering %s %s", request.method, request.scope["path"], exc_info=error)
        answer = shown(request, error_response(error))
        # This answer is given outside the middleware that puts them on every other one.
        answer.headers.update(request.state.headers)
        return answer


_CODES = {"missing": "missing_required_parameter"}
# Where a value may be one of several kinds, pydantic names the kind in the path; the client did not write that.
_KINDS = {"str", "int", "dict[str,any]"}


def _path(loc: tuple[Any, ...]) -> str | None:
    path = ""
    for part in loc[1:]:  # the first says where it was found: in the body or in the query
        if isinstance(part, str) and (part in _KINDS or part.startswith(("list[", "constrained-"))):
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.lstrip(".") or None
