"""Which runs may go on now: so many at once, the others in a queue in which the tenants take turns.

    place = admission.enter(tenant)      # or Overloaded
    try:
        await place.turn()               # or Overloaded, when it has waited for too long
        ...                              # the run
    finally:
        place.leave()

The turns are a deficit round robin in which every run costs one: whoever waits is behind at most one run of each other
tenant for each of its own. All is per process.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from programs.errors import Overloaded
from server.lag import Lag
from server.metrics import Metrics
from server.rates import Charge, Rates
from server.settings import LimitSettings, RateLimitSettings

_NEWEST = 0.1  # how much the last run counts in how long runs take


class Place:
    """The place of one run: first in the queue, then among those that go on. Made by `Admission.enter`.

    Attributes:
        tenant: whose run it is.
        patient: it waits as long as it takes, and is not sent away.
        came: when it was given, by the clock of the admission.
        since: when it was admitted, by the clock of the admission, or None while it waits.
    """

    def __init__(self, admission: Admission, tenant: str, *, patient: bool, came: float) -> None:
        self._admission = admission
        self._left = False
        self._come: asyncio.Future[Overloaded | None] = asyncio.get_running_loop().create_future()
        self.tenant = tenant
        self.patient = patient
        self.came = came
        self.since: float | None = None

    async def turn(self) -> None:
        """Wait until the run may go on.

        Raises:
            Overloaded: it would have to wait for longer than `limits.queue_seconds`, or was sent away.
        """
        if self.since is not None:
            return
        try:
            done, _ = await asyncio.wait([self._come], timeout=None if self.patient else self._admission.patience)
        except asyncio.CancelledError:
            self.leave()
            raise
        if not done:
            self.leave()
            raise self._admission.refusal("late", self.tenant)
        if (refusal := self._come.result()) is not None:
            raise refusal

    def admit(self, now: float) -> None:
        """Its turn has come."""
        self.since = now
        self._come.set_result(None)

    def send_away(self, refusal: Overloaded) -> None:
        """It left the queue, and not of its own will."""
        self._left = True
        self._come.set_result(refusal)

    def leave(self) -> None:
        """Give the place back, whether the turn had come or not. Doing it twice is fine."""
        if not self._left:
            self._left = True
            self._admission.left(self)


class Admission:
    """Knows which runs go on, which wait, and why requests were refused.

    Args:
        limits: how much goes on at once.
        rates: how much each tenant may ask for.
        lag: how late the event loop is.
        metrics: where it is counted.
        clock: seconds since some moment.

    Attributes:
        running: how many runs go on.
        queued: how many wait.
        rejected: how many requests were refused, by reason: `requests` and `tokens` of the tenant were spent; the
            `queue` was full, or somebody `displaced` them there; the `wait` was expected to be, or has been (`late`),
            too long; the event loop has too much `lag`.
        rates: how much each tenant may ask for.
    """

    def __init__(
        self,
        limits: LimitSettings,
        rates: Rates,
        lag: Lag,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._lag = lag
        self._metrics = metrics
        self._clock = clock
        self._running = Counter[str]()
        self._patient = Counter[str]()
        # The tenants in the order of their turns, and the places of each, oldest first.
        self._waiting: OrderedDict[str, OrderedDict[Place, None]] = OrderedDict()
        self._usual = 0.0  # how long a run takes, in seconds
        self.rates = rates
        self.running = 0
        self.queued = 0
        self.rejected = Counter[str]()

    @property
    def patience(self) -> float:
        """How many seconds a client waits for its turn."""
        return self._limits.queue_seconds

    def configure(self, limits: LimitSettings, rates: RateLimitSettings) -> None:
        """Go by other settings from now on. Who is here stays, and what is spent is spent."""
        self._limits = limits
        self.rates.configure(rates)
        self._fill()

    def shed(self, tenant: str) -> None:
        """Refuse a request of the tenant that could not be served in time, before anything is done for it.

        Raises:
            Overloaded: the event loop is late, the queue is full or too slow.
        """
        if self._lag.seconds > self._limits.max_lag_seconds:
            raise self.refusal("lag", tenant)
        if self._room(tenant):
            return
        if self.queued >= self._limits.max_queued and self._displaced(tenant) is None:
            raise self.refusal("queue", tenant)
        if self.expected_wait(tenant) > self._limits.queue_seconds:
            raise self.refusal("wait", tenant)

    async def charge(self, tenant: str, tokens: int) -> Charge:
        """Charge a request. See `Rates.charge`."""
        charge = await self.rates.charge(tenant, tokens)
        if charge.refusal is not None:
            self._reject(charge.refusal.what)
        return charge

    def enter(self, tenant: str, *, patient: bool = False, always: bool = False) -> Place:
        """Give a run its place, at once where there is room and else in the queue.

        Of a full queue the tenant with most clients in it gives up its newest, if the newcomer's has less.

        Args:
            tenant: whose run it is.
            patient: nobody waits for it. A tenant may have as many of those in the queue as it leaves to others.
            always: it was promised earlier, and is not refused.

        Raises:
            Overloaded: the queue is full.
        """
        if self._room(tenant):
            place = Place(self, tenant, patient=patient, came=self._clock())
            self._admit(place)
            return place
        if not always:
            self._make_way(tenant, patient=patient)
        place = Place(self, tenant, patient=patient, came=self._clock())
        self._waiting.setdefault(tenant, OrderedDict())[place] = None
        self.queued += 1
        self._metrics.queued(1)
        self._patient[tenant] += patient
        return place

    def left(self, place: Place) -> None:
        """A place is given back; whoever is next has it. `Place.leave` tells."""
        if place.since is None:
            self._unqueue(place)
            return
        took = self._clock() - place.since
        self._usual = took if not self._usual else self._usual + _NEWEST * (took - self._usual)
        self.running -= 1
        self._running[place.tenant] -= 1
        if not self._running[place.tenant]:
            del self._running[place.tenant]
        self._fill()

    def expected_wait(self, tenant: str) -> float:
        """Seconds until the next run of the tenant would have its turn, if runs take as long as of late."""
        ahead = len(self._waiting.get(tenant, ()))
        turns = sum(min(len(places), ahead + 1) for other, places in self._waiting.items() if other != tenant)
        most = self.rates.concurrent(tenant) or math.inf
        return self._usual * max((ahead + turns + 1) / self._limits.max_runs, (ahead + 1) / most)

    def refusal(self, why: str, tenant: str) -> Overloaded:
        """The error for a request that is refused for this reason. It is counted."""
        self._reject(why)
        wait = max(1.0, self._lag.seconds if why == "lag" else self.expected_wait(tenant))
        return Overloaded(
            f"The server has too much to do right now; try again in {math.ceil(wait)} seconds.", retry_after=wait
        )

    def _reject(self, why: str) -> None:
        self.rejected[why] += 1
        self._metrics.rejected(why)

    def _room(self, tenant: str) -> bool:
        most = self.rates.concurrent(tenant)
        return self.running < self._limits.max_runs and (most is None or self._running[tenant] < most)

    def _fill(self) -> None:
        while (following := self._next()) is not None:
            self._unqueue(following)
            self._admit(following)
            self._metrics.waited(self._clock() - following.came)

    def _next(self) -> Place | None:
        """Whose turn it is. The tenant goes to the end of the row."""
        for tenant in list(self._waiting) if self.running < self._limits.max_runs else ():
            if self._room(tenant):
                self._waiting.move_to_end(tenant)
                return next(iter(self._waiting[tenant]))
        return None

    def _admit(self, place: Place) -> None:
        self.running += 1
        self._running[place.tenant] += 1
        place.admit(self._clock())

    def _unqueue(self, place: Place) -> None:
        places = self._waiting[place.tenant]
        del places[place]
        if not places:
            del self._waiting[place.tenant]
        self.queued -= 1
        self._metrics.queued(-1)
        self._patient[place.tenant] -= place.patient
        if not self._patient[place.tenant]:
            del self._patient[place.tenant]

    def _make_way(self, tenant: str, *, patient: bool) -> None:
        most = self._limits.max_queued
        if patient and self._patient[tenant] >= most - self._patient.total():
            raise self.refusal("queue", tenant)
        if self.queued >= most:
            if (newest := self._displaced(tenant)) is None:
                raise self.refusal("queue", tenant)
            self._unqueue(newest)
            newest.send_away(self.refusal("displaced", newest.tenant))

    def _displaced(self, tenant: str) -> Place | None:
        """Who would have to leave a full queue for the tenant, if anybody."""
        impatient = {other: len(places) - self._patient[other] for other, places in self._waiting.items()}
        most = max(impatient, key=impatient.__getitem__, default=tenant)
        if impatient.get(most, 0) <= len(self._waiting.get(tenant, ())) + 1:
            return None
        return next(place for place in reversed(self._waiting[most]) if not place.patient)
