"""Writes down what a run does with its context, as it happens, so that a crash loses at most the last moment of it."""

from __future__ import annotations

import asyncio

from programs.events import StepDone, Trajectory
from store import Run, Store


class Journal:
    """The trajectory of one run on its way to the store, in order, many events in one write.

    Args:
        store: where it goes.
        asked: the run; one that is not yet in the store is put there with its first event.
        number: how many of its events are there already.
        begun: whether the run is there already.
    """

    def __init__(self, store: Store, asked: Run, number: int, *, begun: bool) -> None:
        self._store = store
        self._asked = asked
        self._number = number
        self._waiting: list[Trajectory] = []
        self._last_step: StepDone | None = None
        self._writing: asyncio.Task[None] | None = None
        self.begun = begun
        """Whether the run is in the store."""

    def add(self, event: Trajectory) -> None:
        """Write `event` down, soon. A step waits for what follows it: the last one is kept with the run's end."""
        if self._last_step is not None:
            self._waiting.append(self._last_step)
            self._last_step = None
        if isinstance(event, StepDone) and event.session == self._asked.id:
            self._last_step = event
            return
        self._waiting.append(event)
        if self._writing is None or (self._writing.done() and not self._failed()):
            self._writing = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Wait until all that was added is written.

        Raises:
            StoreError: it could not be.
        """
        if self._writing is not None:
            await asyncio.shield(self._writing)

    def _failed(self) -> bool:
        return self._writing is not None and not self._writing.cancelled() and self._writing.exception() is not None

    async def _write(self) -> None:
        if not self.begun:
            await self._store.begin(self._asked)
            self.begun = True
        while self._waiting:
            events, self._waiting = self._waiting, []
            await self._store.happened(self._asked.tenant, self._asked.id, self._number, events)
            self._number += len(events)
