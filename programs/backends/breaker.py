"""A circuit breaker: a backend that fails again and again is left alone for a while, and calls of it fail at once.

    closed ──N failures in a row──> open ──its time is over──> half open, for one call
      ^                              ^                            │
      └──────its reply begins────────│────────────────────────────┤
                                     └────it fails: longer now────┘

What counts is failures in a row, and not their share: a backend that answers every other call is worth asking, and
retries see to the rest.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Literal

from dspy.lm15 import LM15Error, RateLimitError, ServerError, StreamAssemblyError, TransportError
from dspy.lm15 import TimeoutError as LM15TimeoutError

from programs.backends.failures import said
from programs.settings import ResilienceSettings

logger = logging.getLogger("rants")

type State = Literal["closed", "open", "half_open"]

_ITS_OWN = (TransportError, LM15TimeoutError, ServerError, StreamAssemblyError)
"""Failures that are the backend's: refused, silent, 5xx, garbage, cut."""


class Admitted:
    """One call that a breaker has let through."""


class Breaker:
    """The breaker of one backend.

    Each call is admitted, tells how it ended, and leaves. A refusal of the request (400, 401, too long) is an answer:
    the backend is there. Being told to slow down (429) and being cancelled say nothing about it.

    Args:
        name: the backend's, in the log and in errors.
        resilience: after how many failures it opens, and for how long.
    """

    def __init__(self, name: str, resilience: ResilienceSettings) -> None:
        self._name = name
        self._most = resilience.breaker_failures or math.inf
        self._seconds = resilience.breaker_seconds
        self._max_seconds = resilience.max_breaker_seconds
        self._failures = 0
        self._opened = 0
        self._until: float | None = None
        self._probe: Admitted | None = None
        self._last = ""

    @property
    def state(self) -> State:
        """`half_open` when the time of an open one is over: the next call will show."""
        if self._until is None:
            return "closed"
        return "half_open" if time.monotonic() >= self._until else "open"

    @property
    def refusal(self) -> ServerError | None:
        """Why a call would fail at once, and in how many seconds it would not; None where it would be let through."""
        if self._until is None or (self.state == "half_open" and self._probe is None):
            return None
        # How long a probe takes nobody knows.
        wait = max(self._until - time.monotonic(), 0.0) or self._seconds
        return ServerError(
            f"it failed {self._failures} times in a row and is not asked for another {round(wait, 1):g} seconds; "
            f"at last: {self._last}",
            provider=self._name,
            retry_after=wait,
        )

    def admit(self) -> Admitted:
        """Let a call through.

        Raises:
            lm15.ServerError: the breaker is open. `retry_after` says for how long.
        """
        if (refusal := self.refusal) is not None:
            raise refusal
        call = Admitted()
        if self._until is not None:
            self._probe = call
        return call

    def begun(self, call: Admitted) -> None:
        """The reply of a call has begun. After a probe's others may call too; the next failure opens it again."""
        if call is self._probe:
            self._probe = self._until = None

    def answered(self, call: Admitted) -> None:
        """A call came to a good end, or to a refusal."""
        if self._until is not None and call is not self._probe:
            return  # it began before the failures
        if self._opened:
            logger.warning("the backend %s answers again", self._name)
        self._failures = self._opened = 0
        self._probe = self._until = None

    def failed(self, call: Admitted, error: LM15Error) -> None:
        """A call came to a bad end."""
        if isinstance(error, RateLimitError):
            return
        if not isinstance(error, _ITS_OWN):
            self.answered(call)
            return
        if self._until is not None and call is not self._probe:
            return  # it began before the breaker opened
        self._failures += 1
        self._last = said(error)
        if self._failures >= self._most:
            wait = min(self._seconds * 2**self._opened, self._max_seconds)
            self._opened = min(self._opened + 1, 30)
            self._until = time.monotonic() + wait
            self._probe = None
            logger.warning("the backend %s is not asked for %g seconds: %s", self._name, wait, self._last)

    def leave(self, call: Admitted) -> None:
        """A call is over, however it ended. A probe that showed nothing makes room for the next."""
        if call is self._probe:
            self._probe = None
