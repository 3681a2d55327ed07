"""Has the store forget what is old, once an hour."""

from __future__ import annotations

import asyncio
import logging
import time

from programs.errors import StoreError
from store import StateSettings, Store

logger = logging.getLogger("rants")

_EVERY_SECONDS = 3600.0
_PAUSE_SECONDS = 0.05  # others want to write, too
_DAY = 86_400


async def retain(store: Store, settings: StateSettings) -> None:
    """Forget what is older than `state.retention_days`, now and every hour, until cancelled."""
    if settings.retention_days is None:
        return
    while True:
        before = time.time() - settings.retention_days * _DAY
        try:
            more = True
            while more:
                more = await store.expire(before)
                await asyncio.sleep(_PAUSE_SECONDS)
        except StoreError as error:
            logger.warning("What is older than %g days could not be removed: %s", settings.retention_days, error)
        await asyncio.sleep(_EVERY_SECONDS)
