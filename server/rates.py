"""How much each tenant may ask for: a bucket of requests and a bucket of tokens, told in the headers that clients read.

A request takes one from the first, and what its body may hold from the second: its bytes, in tokens. When its run is
over, that is corrected to what the run has really used. The most that a reply may have (`max_tokens`) is not taken
beforehand, as OpenAI does: many clients always send the greatest number there is. So replies may leave a bucket in
debt, and then the next request waits for longer. And as no request is larger than its bucket, none is refused for ever:
what is taken beforehand is at most what the bucket holds.

Source: https://platform.openai.com/docs/guides/rate-limits
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from programs.errors import RateLimited, StoreError
from server.settings import RateLimitSettings
from store import Bucket, Draw, Drawn, draw

logger = logging.getLogger("rants")

REQUESTS = "requests"
TOKENS = "tokens"


class Buckets(Protocol):
    """Where buckets are kept: `MemoryBuckets` for one process, a `Store` for several."""

    async def draw(self, tenant: str, draws: Sequence[Draw], *, debt: bool = False) -> Drawn:
        """Take the amounts out of the tenant's buckets, all or none; with `debt` also what is not there yet."""
        ...


class MemoryBuckets:
    """The buckets of one process.

    Args:
        clock: gives the seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, dict[str, Bucket]] = {}

    async def draw(self, tenant: str, draws: Sequence[Draw], *, debt: bool = False) -> Drawn:
        """See `Buckets`."""
        kept = self._buckets.setdefault(tenant, {})
        drawn = draw(kept, draws, self._clock(), debt=debt)
        kept.update(drawn.buckets)
        return drawn


@dataclass(slots=True)
class Charge:
    """What one request was charged.

    Attributes:
        tenant: who pays.
        tokens: how many were taken.
        headers: how much is left, as clients read it.
        refusal: why nothing was taken, if so.
        taken: a run has it, and settles it when it is over.
    """

    tenant: str
    tokens: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    refusal: RateLimited | None = None
    taken: bool = False


class Rates:
    """Charges requests and runs.

    Args:
        settings: how much each tenant may ask for.
        buckets: where its buckets are kept.
    """

    def __init__(self, settings: RateLimitSettings, buckets: Buckets) -> None:
        self._settings = settings
        self._buckets = buckets

    def configure(self, settings: RateLimitSettings) -> None:
        """Go by other limits from now on."""
        self._settings = settings

    def concurrent(self, tenant: str) -> int | None:
        """How many runs of the tenant go on at once; None is no limit."""
        return self._settings.of(tenant).concurrent if self._settings.enabled else None

    async def charge(self, tenant: str, tokens: int) -> Charge:
        """Take one request and `tokens`, or neither of them.

        Raises:
            StoreError: the buckets are in the store, and that cannot be written.
        """
        if not self._settings.enabled:
            return Charge(tenant)
        draws = self._draws(tenant, requests=1, tokens=tokens)
        drawn = await self._buckets.draw(tenant, draws)
        headers = _headers(draws, drawn)
        if drawn.short is None:
            return Charge(tenant, draws[-1].amount if draws[-1].bucket == TOKENS else 0, headers)
        said = f"Too many {drawn.short}; try again in {duration(drawn.wait)}."
        return Charge(tenant, 0, headers, RateLimited(said, retry_after=drawn.wait, what=drawn.short))

    async def settle(self, charge: Charge, tokens: int) -> None:
        """Correct what was charged to the `tokens` that were used."""
        if not self._settings.enabled:
            return
        owed = tokens - charge.tokens
        draws = [each for each in self._draws(charge.tenant, 0, owed, owing=True) if each.bucket == TOKENS]
        if not draws or not owed:
            return
        charge.tokens = tokens
        try:
            await self._buckets.draw(charge.tenant, draws, debt=True)
        except StoreError as error:
            # What was asked for is there all the same.
            logger.warning("%s was not charged for %d tokens: %s", charge.tenant, owed, error)

    def _draws(self, tenant: str, requests: float, tokens: float, *, owing: bool = False) -> list[Draw]:
        limits = self._settings.of(tenant)
        draws = [Draw(REQUESTS, requests, limits.burst, limits.requests_per_minute / 60)]
        if (most := limits.tokens_per_minute) is not None:
            draws.append(Draw(TOKENS, tokens if owing else min(tokens, most), most, most / 60))
        return draws


def _headers(draws: Sequence[Draw], drawn: Drawn) -> dict[str, str]:
    headers = {}
    for each in draws:
        left = drawn.buckets[each.bucket].level
        headers[f"x-ratelimit-limit-{each.bucket}"] = f"{each.capacity:.0f}"
        headers[f"x-ratelimit-remaining-{each.bucket}"] = str(max(0, math.floor(left)))
        headers[f"x-ratelimit-reset-{each.bucket}"] = duration((each.capacity - left) / each.per_second)
    return headers


def duration(seconds: float) -> str:
    """A length of time as OpenAI's headers have it: `0s`, `120ms`, `1.5s`, `6m0s`, `1h0m20s`; never less than it is."""
    thousandths = math.ceil(round(seconds * 1000, 6))
    if 0 < thousandths < 1000:
        return f"{thousandths}ms"
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{rest / 1000:g}s"
