"""How a page says that something went wrong."""

from __future__ import annotations

import json
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from server.browsers import is_page, wants_page
from server.ui.rendering import render

_OF_THE_BODY = frozenset({"content-length", "content-type"})


def shown(request: Request, answer: JSONResponse) -> Response:
    """The answer, which says an error, in the form that fits who asks: below `/ui` a browser is given a page."""
    # Not `request.url`: it is made of headers, which may make none.
    if not (is_page(request.scope["path"]) and wants_page(request.method, request.headers)):
        return answer
    said = json.loads(bytes(answer.body))["error"]["message"]
    status = HTTPStatus(answer.status_code)
    page = render(request, "error.html", status, title=status.phrase, message=said)
    page.headers.update({name: value for name, value in answer.headers.items() if name not in _OF_THE_BODY})
    return page
