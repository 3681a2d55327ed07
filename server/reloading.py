"""Taking up a changed configuration while serving: SIGHUP."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from programs import Backends
from programs.errors import ConfigurationError
from server.gatekeeper import Gatekeeper
from server.settings import Settings

logger = logging.getLogger("rants")

RELOADED = ("auth", "rate_limits", "limits", "models", "resilience")
"""The sections that are taken up; the others need a restart."""


async def reload(state: Any) -> None:
    """Read the settings anew, and serve from now on as they say. What is running goes on as it began.

    Where they are wrong the log says why, and all stays as it is.

    Args:
        state: of the application.
    """
    before: Settings = state.settings
    try:
        read = await asyncio.to_thread(Settings.load)
        after = before.model_copy(update={name: getattr(read, name) for name in RELOADED})
        changed = [name for name in Settings.model_fields if getattr(before, name) != getattr(after, name)]
        backends = None
        if "models" in changed or "resilience" in changed:
            backends = await asyncio.to_thread(Backends, after.models, after.resilience)
    except ConfigurationError as error:
        logger.error("The configuration was not reloaded: %s", error)
        return
    state.settings = after
    state.gatekeeper = Gatekeeper(after.auth, state.store)
    state.admission.configure(after.limits, after.rate_limits)
    left = [name for name in Settings.model_fields if getattr(read, name) != getattr(after, name)]
    logger.warning(
        "The configuration was reloaded: %s.%s",
        ", ".join(changed) or "nothing has changed",
        f" A restart is needed for {', '.join(left)}." if left else "",
    )
    if backends is not None:
        await _bind(state, backends, after)


async def _bind(state: Any, backends: Backends, settings: Settings) -> None:
    """Give new runs the new backends, and close the old ones when the last run that uses them has ended."""
    old: Backends = state.backends
    state.backends = backends
    state.sees = backends.sees
    state.runs.bind(backends, timeout=settings.resilience.request_timeout_seconds)
    state.doctor.bind(backends)
    await backends.warm()
    await state.runs.ended()
    await old.aclose()
