"""A backend that costs next to nothing: the same chat completion for everybody, at once.

`serve` listens on a free port and prints its address. Every event of a stream is a write of
its own, as models send them. The first token is the time at which it was sent, in nanoseconds of the machine's
monotonic clock, which all processes share: whoever reads it knows how long it was on its way.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

TOKENS = tuple(f" word{number}" for number in range(20))
"""What follows the time in every reply."""

_USAGE = {"prompt_tokens": 300, "completion_tokens": 21, "total_tokens": 321}
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _whole(value: Any) -> bytes:
    body = _json(value)
    return _HEAD % (b"application/json", len(body), body)


def _piece(data: bytes) -> bytes:
    """One event in one piece of a chunked body."""
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _piece(
        _json({"id": "stub", "object": "chat.completion.chunk", "created": 0, "model": "stub", "choices": [choice]})
    )


def _completion(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return _whole(
        {"id": "stub", "object": "chat.completion", "created": 0, "model": "stub", "choices": [choice], "usage": _USAGE}
    )


_ROLE = _chunk({"role": "assistant", "content": ""})
_REST = (
    *(_chunk({"content": token}) for token in TOKENS),
    _chunk({}, "stop"),
    _piece(_json({"id": "stub", "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})),
    _piece(b"[DONE]") + b"0\r\n\r\n",
)
_MODELS = _whole({"object": "list", "data": [{"id": "stub", "object": "model"}]})


class Connection(asyncio.Protocol):
    """One connection: answers each request as soon as all of it is there."""

    def __init__(self) -> None:
        self._asked = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._asked += data
        head, found, body = self._asked.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if not found or len(body) < int(length.partition(b"\r\n")[0] or 0):
            return
        self._asked = b""
        self.answer(head, body)

    @abstractmethod
    def answer(self, head: bytes, body: bytes) -> None:
        """Answer one request, now or later."""


async def listen(connection: Callable[[], Connection]) -> None:
    """Serve connections on a free port, whose address is printed, for ever."""
    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


class _Stub(Connection):
    def __init__(self, pause: float) -> None:
        super().__init__()
        self._pause = pause

    def answer(self, head: bytes, body: bytes) -> None:
        write = self.transport.write
        if head.startswith(b"GET"):
            write(_MODELS)
        elif json.loads(body).get("stream"):
            write(_STREAM_HEAD + _ROLE)
            write(_chunk({"content": str(time.monotonic_ns())}))
            if self._pause:
                asyncio.get_running_loop().call_later(self._pause, self._go_on, _REST)
                return
            for piece in _REST:
                write(piece)
        else:
            write(_completion(str(time.monotonic_ns()) + "".join(TOKENS)))

    def _go_on(self, left: tuple[bytes, ...]) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(left[0])
        if len(left) > 1:
            asyncio.get_running_loop().call_later(self._pause, self._go_on, left[1:])


def serve(pause: float = 0.0) -> None:
    """Answer until the process is stopped; with `pause`, so many seconds pass before each further piece of a stream."""
    asyncio.run(listen(partial(_Stub, pause)))
