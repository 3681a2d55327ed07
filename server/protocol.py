"""uvicorn's HTTP protocol, with a limit to how long and how large a request's head may be, and errors in our shape.

What is refused here never reaches the application: bytes that are no HTTP, and clients that do not go on sending.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import error_body

_LONGEST_HEAD = 1 << 16  # bytes


class Protocol(HttpToolsProtocol):
    """One connection.

    Args:
        read_timeout: seconds in which the head of a request must be whole, and then each next part of its body come.
        others: see uvicorn.
    """

    def __init__(self, *, read_timeout: float, **others: Any) -> None:
        super().__init__(**others)
        self._read_timeout = read_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._head: int | None = 0  # bytes of it so far; None while a body comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See uvicorn."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """See uvicorn."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See uvicorn."""
        if self._head is None or self._timer is None:
            self._wait()
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > _LONGEST_HEAD:
            self._refuse(431, f"The request's line and headers are longer than {_LONGEST_HEAD} bytes.")

    def on_headers_complete(self) -> None:
        """See uvicorn."""
        self._head = None
        self._wait()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """See uvicorn."""
        self._head = 0
        self._stop_waiting()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """See uvicorn."""
        self._refuse(400, "What was sent is no HTTP request.")

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: uvicorn would advise to install what is not wanted here."""

    def _wait(self) -> None:
        """Wait for more of the request, from now on."""
        self._stop_waiting()
        self._timer = self.loop.call_later(self._read_timeout, self._lose_patience)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose_patience(self) -> None:
        if self._answering and not self.cycle.more_body:
            self._wait()  # the next request has come while this one is being answered
        elif self._head == 0:
            self.transport.close()  # nothing was asked
        else:
            self._refuse(408, f"The rest of the request did not come within {self._read_timeout:g} seconds.")

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error, unless another answer has begun, and close."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if not (self._answering and self.cycle.response_started):
            body = json.dumps(error_body(message, "invalid_request_error")).encode()
            lines = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                f"X-Request-Id: req_{uuid.uuid4().hex}",
                "Connection: close",
            )
            self.transport.write("\r\n".join((*lines, "", "")).encode() + body)
        self.transport.close()
