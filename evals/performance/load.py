"""The client of the measurements: raw HTTP over connections that are kept, cheap enough not to be measured itself."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from evals.performance.stub import TOKENS

KEY = "rants-bench-5f2c81d09b7e46a3"
"""Sent with every request; a server need not ask for it."""

_FIRST_TOKEN = re.compile(rb'"content":"(\d+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SYSTEM = "You are a careful assistant that answers in few words and says so when it does not know. " * 10


class WrongReply(Exception):
    """What came back is not the stub's reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Times are in seconds.

    Attributes:
        total: from sending the request to the last byte of the answer.
        first_token: from the backend's sending its first token to our reading it; None where nothing was streamed.
    """

    total: float
    first_token: float | None


@dataclass(frozen=True, slots=True)
class Load:
    """What a number of requests to one server came to."""

    replies: tuple[Reply, ...]
    seconds: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.replies) / self.seconds

    def slowest(self, share: int) -> float:
        """Seconds that `share` percent of the requests took at most: 50 is the median."""
        totals = sorted(reply.total for reply in self.replies)
        return totals[-(-len(totals) * share // 100) - 1]  # the share rounded up, counted from 1

    @property
    def first_token(self) -> float:
        """Seconds from the backend's first token to the client's, in the median; only for streams."""
        return statistics.median(reply.first_token for reply in self.replies if reply.first_token is not None)


class _Connection(asyncio.Protocol):
    """One request at a time over one connection."""

    _transport: asyncio.Transport
    _answer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def ask(self, request: bytes, *, stream: bool) -> Reply:
        """Send `request` and wait for the whole answer.

        Raises:
            WrongReply: it is not what the stub said.
            ConnectionError: the server hung up.
        """
        self._received = b""
        self._stamp: tuple[int, int] | None = None  # the first token's time there and here, in nanoseconds
        self._end: int | None = None  # of the answer, where its length is said beforehand
        self._answer = answer = asyncio.get_running_loop().create_future()
        start = time.perf_counter()
        self._transport.write(request)
        await answer
        total = time.perf_counter() - start
        told = b"data: [DONE]" if stream else TOKENS[-1].encode()
        if not self._received.startswith(b"HTTP/1.1 200 ") or told not in self._received:
            raise WrongReply(self._received.decode())
        if not stream:
            return Reply(total, None)
        if self._stamp is None:
            raise WrongReply(self._received.decode())
        sent, seen = self._stamp
        return Reply(total, (seen - sent) / 1e9)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        assert self._answer is not None
        if not self._received:
            head, _, _ = data.partition(b"\r\n\r\n")  # every server here sends its head in one write
            if length := _LENGTH.search(head):
                self._end = len(head) + 4 + int(length[1])
        self._received += data
        if self._stamp is None and (token := _FIRST_TOKEN.search(self._received)):
            self._stamp = int(token[1]), now
        if len(self._received) == self._end if self._end else self._received.endswith(b"\r\n0\r\n\r\n"):
            self._answer.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the server hung up"))

    def close(self) -> None:
        self._transport.close()


_numbers = count()


def _request(port: int, *, stream: bool, key: str) -> bytes:
    """A conversation that nobody has had before."""
    body = json.dumps(
        {
            "model": "rants-one",
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": f"What is the square of {next(_numbers)}?"},
            ],
            "stream": stream,
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, *, clients: int, requests: int, stream: bool, key: str = KEY) -> Load:
    """Have `clients` send `requests` together, each the next one as soon as its last is answered, with an API `key`.

    Raises:
        WrongReply: an answer is not what the stub said.
        ConnectionError: the server hung up.
    """
    loop = asyncio.get_running_loop()
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(clients)]
    left: Iterator[int] = iter(range(requests))
    replies: list[Reply] = []

    async def client(connection: _Connection) -> None:
        for _ in left:
            replies.append(await connection.ask(_request(port, stream=stream, key=key), stream=stream))

    start = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(client(connection))
    finally:
        seconds = time.perf_counter() - start
        for connection in connections:
            connection.close()
    return Load(tuple(replies), seconds)
