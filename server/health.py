"""`/health`: whether the process lives, whether it can serve, and how its backends do."""

from __future__ import annotations

import asyncio
import time
from importlib.metadata import version
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from programs import Backends
from programs.backends import Health
from programs.environment import Environment, EnvironmentUnavailable
from programs.errors import StoreError
from server.gateway import Gateway
from store import Store

router = APIRouter()

VERSION = version("rants")


class Readiness(BaseModel):
    """Whether a question could be answered now."""

    status: Literal["ok", "not ready"]


class Doctor:
    """Looks at backends, store, environment and tools, and remembers what it saw for `cache` seconds."""

    def __init__(
        self, backends: Backends, store: Store, environment: Environment, gateway: Gateway, *, cache: float
    ) -> None:
        self._backends = backends
        self._store = store
        self._environment = environment
        self._gateway = gateway
        self._cache = cache
        self._seen: tuple[float, dict[str, Any]] | None = None
        self._looking = asyncio.Lock()

    def bind(self, backends: Backends) -> None:
        """Look at other backends from now on."""
        self._backends = backends
        self._seen = None

    async def report(self) -> dict[str, Any]:
        """The report as `/health` sends it; `ready` is whether a question could be answered now."""
        async with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > self._cache:
                self._seen = (time.monotonic(), await self._look())
            return self._seen[1]

    async def _look(self) -> dict[str, Any]:
        try:
            await self._store.check()
            store: dict[str, Any] = {"ok": True, "error": None}
        except StoreError as error:
            store = {"ok": False, "error": str(error)}
        try:
            await self._environment.start()
            environment: dict[str, Any] = {"ok": True, "error": None}
        except EnvironmentUnavailable as error:
            environment = {"ok": False, "error": str(error)}
        looks = await self._backends.health()
        ready = [_usable(look) for look in looks if look.role == "generator"]
        backends = {look.role: {**_told(look), "fallbacks": list(map(_told, look.fallbacks))} for look in looks}
        well = store["ok"] and environment["ok"] and all(map(_well, looks))
        return {
            "status": "ok" if well else "degraded",
            "version": VERSION,
            "ready": store["ok"] and all(ready),
            "store": store,
            "environment": {"name": self._environment.name, **environment},
            "tools": self._gateway.health(),
            "backends": backends,
        }


def _told(look: Health) -> dict[str, Any]:
    return {
        "provider": look.provider,
        "model": look.model,
        "reachable": look.error is None,
        "latency_ms": round(look.latency * 1000, 1),
        "error": look.error,
        "breaker": look.breaker,
    }


def _well(look: Health) -> bool:
    """Whether a backend does well, and all its fallbacks."""
    return look.error is None and look.breaker == "closed" and all(map(_well, look.fallbacks))


def _usable(look: Health) -> bool:
    """Whether a backend can be asked, or one of its fallbacks."""
    return look.error is None or any(map(_usable, look.fallbacks))


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Version, store, environment, and each backend's reachability, latency and breaker. Always 200: read `status`."""
    report: dict[str, Any] = await request.app.state.doctor.report()
    return report


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready", response_model=None, responses={200: {"model": Readiness}, 503: {"model": Readiness}})
async def ready(request: Request) -> JSONResponse:
    """200 when a question could be answered now, else 503."""
    report = await request.app.state.doctor.report()
    return JSONResponse({"status": "ok" if report["ready"] else "not ready"}, 200 if report["ready"] else 503)
