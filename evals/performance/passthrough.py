"""The neighbour: the least that a gateway made of FastAPI and httpx can do.

`serve` listens on a free port, prints its address and relays chat completions to a backend and back, byte for byte: no
types, no errors, no store.
"""

from __future__ import annotations

import httpx
import uvicorn
from fastapi import FastAPI, Request
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

_CONNECTIONS = 200  # what RANTS keeps open to a backend


def _app(backend: str) -> FastAPI:
    app = FastAPI()
    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
    )

    @app.post("/v1/chat/completions")
    async def relay(request: Request) -> StreamingResponse:
        asked = client.build_request("POST", f"{backend}/v1/chat/completions", json=await request.json())
        answer = await client.send(asked, stream=True)
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            media_type=answer.headers["content-type"],
            background=BackgroundTask(answer.aclose),
        )

    return app


def serve(backend: str) -> None:
    """Relay to the server at the address `backend` until the process is stopped."""
    config = uvicorn.Config(_app(backend), host="127.0.0.1", port=0, log_level="warning")
    socket = config.bind_socket()
    print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[socket])
