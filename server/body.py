"""Reading the JSON of a request strictly, so that what is behind it may take texts for texts and numbers for numbers.

Python's own reader takes more than JSON: NaN, half a surrogate pair, UTF-16, and any depth. None of that can be sent on
to a model or written into a database.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

_BOM = b"\xef\xbb\xbf"
_TOO_DEEP = "recursion limit exceeded"  # as the parser says it, beyond 200 levels
_MAY_BE_INFINITE = re.compile(rb"\d[eE]\+?\d{3}|\d{309}")
_JSON = re.compile(r"application/(json|[\w.-]+\+json)\s*(;.*)?", re.IGNORECASE)


class JSONRoute(APIRoute):
    """A route whose body, if it takes one, is JSON and says so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            # A page of another origin can have a browser send any other kind without asking us first.
            if self.body_field is not None and not _JSON.fullmatch(request.headers.get("content-type", "")):
                raise HTTPException(415, "the body should be JSON: send it with `Content-Type: application/json`.")
            return await handle(_JSONRequest(request.scope, request.receive))

        return strictly


class _JSONRequest(Request):
    async def json(self) -> Any:
        """The body.

        Raises:
            JSONDecodeError: it is no JSON, or more than can be worked with.
        """
        return read_json(await self.body())


def read_json(body: bytes) -> Any:
    """The value that `body` says, in UTF-8, with or without a byte order mark.

    Raises:
        JSONDecodeError: it is no JSON, is nested deeper than 200 levels, or holds a number that is too large.
    """
    try:
        value = from_json(body.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        said = str(error).replace(_TOO_DEEP, "nested too deeply")
        raise json.JSONDecodeError(said, "", 0) from error
    if _MAY_BE_INFINITE.search(body) and any(math.isinf(number) for number in _floats(value)):
        raise json.JSONDecodeError("a number is too large", "", 0)
    return value


def _floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, (list, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _floats(item)
