"""When a request is counted."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from starlette.types import Message

from server.metrics import Metrics
from server.requests import Requests


def test_a_stream_is_counted_once_and_before_its_last_byte_is_sent() -> None:
    app, state = FastAPI(), FastAPI()
    state.state.metrics = metrics = Metrics()
    counted: list[tuple[bool, bool]] = []

    @app.get("/health/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter(["one", "two"]))

    def has(count: float) -> bool:
        sample = f'rants_http_requests_total{{method="GET",route="/health/stream",status="200"}} {count}'
        return sample in metrics.text().decode()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            counted.append((message.get("more_body", False), has(1.0)))

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/health/stream", "headers": [], "query_string": b""}
    asyncio.run(Requests(app, app_state=state)(scope, receive, send))
    assert counted == [(True, False), (True, False), (False, True)]
    assert has(1.0)
