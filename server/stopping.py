"""uvicorn's server, which ends what is running before it closes the connections that wait for it."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from fastapi import FastAPI

GRACE_SECONDS = 5.0
"""How long answers that are being written when the server is told to stop may still take."""

_LAST_WORDS_SECONDS = 2


class Server(uvicorn.Server):
    """Serves `app`. Runs that outlive the grace are cancelled first, so that their streams end in the protocol."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        config.timeout_graceful_shutdown = int(GRACE_SECONDS) + _LAST_WORDS_SECONDS
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; see uvicorn."""
        ending = asyncio.create_task(self._end_runs())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_runs(self) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        await self._app.state.runs.aclose()
