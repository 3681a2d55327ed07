"""Server-sent events, and noticing at once that the client has hung up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class ClientGone(Exception):
    """The client closed the connection before its answer was ready."""


class EventStream(StreamingResponse):
    """Sends one frame a write. `hung_up` is called when the client leaves before the last frame."""

    def __init__(self, frames: AsyncIterator[bytes], *, hung_up: Callable[[], None]) -> None:
        super().__init__(frames, headers=HEADERS)
        self._frames = frames
        self._hung_up = hung_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the frames; see ASGI."""
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                self._hung_up()
                return
            await pump
        except OSError:
            self._hung_up()
        finally:
            for task in (pump, gone):
                task.cancel()
            await asyncio.wait((pump, gone))

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for frame in self._frames:
            await send({"type": "http.response.body", "body": frame, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def unless_gone[T](request: Request, answer: Awaitable[T]) -> T:
    """Wait for `answer`, unless the client hangs up first.

    Raises:
        ClientGone: it did; `answer` is cancelled.
    """
    task = asyncio.ensure_future(answer)
    gone = asyncio.create_task(_gone(request.receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return await task
    finally:
        for waiting in (task, gone):
            waiting.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
