"""What comes over HTTP from a model server: bodies of a bounded length, server-sent events, and how long to wait."""

from __future__ import annotations

import asyncio
import email.utils
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress

from aiohttp import ClientError, ClientResponse
from dspy.lm15 import StreamAssemblyError

_LONGEST_WAIT = 86_400.0  # seconds
_END_SECONDS = 0.1  # for a body to end after its last event; most end with it


async def pieces(response: ClientResponse, most: int, *, name: str) -> AsyncGenerator[bytes]:
    """A body as it comes.

    Args:
        response: its head has come.
        most: bytes that it may have, decompressed.
        name: the backend's, in errors.

    Raises:
        lm15.StreamAssemblyError: it is longer.
    """
    left = most
    async for piece in response.content.iter_any():
        left -= len(piece)
        if left < 0:
            raise StreamAssemblyError(f"the reply is longer than {most} bytes", provider=name)
        yield piece


async def whole(response: ClientResponse, most: int, *, name: str) -> bytes:
    """A body.

    Raises:
        lm15.StreamAssemblyError: it is longer than `most` bytes.
    """
    return b"".join([piece async for piece in pieces(response, most, name=name)])


async def beginning(response: ClientResponse, most: int) -> bytes:
    """A body, up to `most` bytes of it."""
    read = bytearray()
    async for piece in response.content.iter_any():
        read += piece
        if len(read) >= most:
            break
    return bytes(read[:most])


async def sse_data(source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The `data` of each event (https://html.spec.whatwg.org/multipage/server-sent-events.html), split at any byte."""
    rest = bytearray()
    data: list[bytes] = []
    async for piece in source:
        ended, newline, begun = piece.rpartition(b"\n")
        rest += ended
        if not newline:
            rest += begun
            continue
        lines = bytes(rest).split(b"\n")
        rest[:] = begun
        for line in lines:
            stripped = line.rstrip(b"\r")
            if stripped.startswith(b"data:"):
                data.append(stripped[5:].removeprefix(b" "))
            elif not stripped and data:
                yield b"\n".join(data)
                data.clear()
    # Some servers leave out the last blank line.
    if rest.startswith(b"data:"):
        data.append(bytes(rest[5:]).strip())
    if data:
        yield b"\n".join(data)


async def drained(body: AsyncIterator[bytes]) -> None:
    """Read the end of a body in which nothing more is said: only then can its connection be used again."""
    with suppress(TimeoutError, ClientError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in body:
                pass


def retry_after(response: ClientResponse) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), _LONGEST_WAIT) if math.isfinite(seconds) else None
