"""The application: `uvicorn server.app:app`, or `create_app(settings)`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from programs import RANTS, Backends
from programs.environment import Environment, EnvironmentUnavailable
from server import chat, errors, health, metrics, openapi, responses, served, ui
from server.admission import Admission
from server.auth import Authenticate
from server.gatekeeper import Gatekeeper
from server.gateway import Gateway
from server.lag import Lag
from server.leases import Leases
from server.life import Life
from server.metrics import Metrics
from server.rates import MemoryBuckets, Rates
from server.reloading import reload
from server.requests import Requests
from server.retention import retain
from server.runs import Runs
from server.settings import Settings
from server.sse import ClientGone
from server.traces import Traces
from server.ui.failures import shown
from server.ui.guard import Guard
from store import Store

logger = logging.getLogger("rants")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI application. Its settings are read, and its store and backends opened, when it starts.

    Raises (when it starts):
        ConfigurationError, StoreError: what is configured cannot be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        configured = settings or Settings.load()
        # dspy warns of every reply that was cut; here the client is told.
        logging.getLogger("dspy").setLevel(logging.ERROR)
        state = app.state
        state.settings = configured
        state.started_at = int(time.time())
        state.traces = traces = Traces(configured.observability)
        backends = Backends(configured.models, configured.resilience)
        async with await Store.open(configured.state) as store, Gateway(configured, store) as gateway, Lag() as lag:
            state.metrics = Metrics(tools=gateway.registry)
            rates = Rates(configured.rate_limits, store if configured.shares_buckets else MemoryBuckets())
            state.admission = Admission(configured.limits, rates, lag, state.metrics)
            rants = RANTS(
                backends,
                configured.rlm.rants_one,
                runner=gateway.registry,
                tracing=traces.tracing,
                program=configured.rlm.program,
            )
            state.store = store
            state.backends = backends
            state.gatekeeper = Gatekeeper(configured.auth, store)
            state.gateway = gateway
            state.sees = backends.sees
            state.doctor = health.Doctor(
                backends, store, rants.environment, gateway, cache=configured.server.health_cache_seconds
            )
            state.runs = Runs(
                rants,
                gateway,
                store,
                state.admission,
                state.metrics,
                timeout=configured.resilience.request_timeout_seconds,
                heartbeat=configured.server.keep_alive_seconds,
            )
            warming = asyncio.create_task(_warm(backends, rants.environment))
            forgetting = asyncio.create_task(retain(store, configured.state))
            drain = configured.server.drain_seconds
            try:
                # Leases are kept until the last run has ended.
                async with Leases(state.runs, store, seconds=configured.state.lease_seconds):
                    try:
                        async with Life(drain, stop=state.runs.aclose, reload=lambda: reload(state)):
                            yield
                    finally:
                        await state.runs.aclose()
            finally:
                for task in (warming, forgetting):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                await state.backends.aclose()
                await traces.aclose()

    app = FastAPI(title="RANTS", version=health.VERSION, lifespan=lifespan)
    errors.install(app, shown)

    @app.exception_handler(ClientGone)
    async def on_gone(request: object, error: ClientGone) -> Response:
        return Response(status_code=499)  # nobody reads it

    for room in (chat, responses, served, health, metrics, ui):
        app.include_router(room.router)
    openapi.describe(app)
    app.add_middleware(Authenticate, app_state=app, shown=shown)
    app.add_middleware(Guard, app_state=app)
    app.add_middleware(Requests, app_state=app)
    app.add_middleware(BodyLimit, app_state=app)
    return app


async def _warm(backends: Backends, environment: Environment) -> None:
    """Load and start now what would otherwise be with the first question."""
    await backends.warm()
    try:
        await environment.start()
    except EnvironmentUnavailable as error:
        logger.error("%s. Contexts that do not fit the generator's window cannot be explored.", error)


class BodyLimit:
    """Refuses a body that is longer than `limits.max_request_bytes`, before it fills the memory."""

    def __init__(self, app: ASGIApp, *, app_state: FastAPI) -> None:
        self._app = app
        self._state = app_state.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._state.settings.limits.max_request_bytes
        read = 0

        async def receive_within_limit() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise HTTPException(413, f"the request is longer than {limit} bytes")
            return message

        await self._app(scope, receive_within_limit, send)


app = create_app()
