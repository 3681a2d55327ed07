"""One process among several on the same store: it says that it lives, and takes up what the dead have left."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Self

from programs import Sampling
from programs.errors import RantsError
from programs.events import RunDone
from programs.recorded import Recorded
from programs.transcript import Tools
from server.runs import Runs
from store import Finished, Run, Store, StoredRun

logger = logging.getLogger("rants")

_BEATS = 3  # in the time after which a silent process counts as dead


class Leases:
    """Keeps the leases of the runs of this process while it is entered, and takes over those of dead ones.

    Args:
        runs: those of this process.
        store: which all processes share.
        seconds: after how long a silence a process counts as dead.
    """

    def __init__(self, runs: Runs, store: Store, *, seconds: float) -> None:
        self._runs = runs
        self._store = store
        self._seconds = seconds
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin with what a crash or a restart left unfinished.

        Raises:
            StoreError: it could not be read.
        """
        await self._take_over()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._beating is not None  # noqa: S101
        self._beating.cancel()
        with suppress(asyncio.CancelledError):
            await self._beating

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / _BEATS)
            try:
                await self._keep()
                await self._take_over()
            except RantsError as error:
                # The runs fail by themselves when they want to write; the store may be back at the next beat.
                logger.warning("This process could not keep its leases: %s", error)
            except Exception:
                logger.exception("a bug in keeping leases")  # what goes on without them is run twice

    async def _keep(self) -> None:
        """Say that this process lives, and cancel what it is asked to cancel and what is its own no more."""
        begun = self._runs.begun()
        beat = await self._store.beat()
        for key in beat.cancelled:
            if (run := self._runs.get(*key)) is not None:
                run.cancel()
        # Those that are lost are waited for: should they come back to this process, nothing of them is left there.
        lost = [run for key in begun - beat.owned if (run := self._runs.get(*key)) is not None]
        for run in lost:
            run.cancel()
        for run in lost:
            await run.ended()

    async def _take_over(self) -> None:
        if self._runs.closing:
            return
        for stored in await self._store.take_over(self._seconds):
            await self._go_on(stored)

    async def _go_on(self, stored: StoredRun) -> None:
        """Go on with a background response after what it has recorded. Others have failed: nobody waits."""
        recorded = await self._store.trajectory(stored.tenant, stored.id)
        if not stored.background:
            spent = Recorded(recorded).spent
            done = RunDone("failed", "", spent.usage, "interrupted", "The server ended while it was being written.")
            await self._store.finish(stored.tenant, stored.id, Finished(done, spent.seconds, key=stored.key))
            return
        asked = Run(
            id=stored.id,
            tenant=stored.tenant,
            model=stored.model,
            background=True,
            created_at=stored.created_at,
            request=stored.request,
            previous=stored.previous,
            key=stored.key,
            transcript=await self._store.transcript(stored.tenant, stored.id, output=False),
        )
        self._runs.go_on(
            asked,
            Sampling.model_validate(stored.request["sampling"]),
            Tools.model_validate(stored.request["tools"]),
            instructions=stored.request["echo"]["instructions"],
            session=stored.session,
            recorded=recorded,
        )
