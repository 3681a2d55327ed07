"""Token buckets: how they fill, what may be taken out, and where they are kept for all processes together."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store import statements
from store.database import Database
from store.statements import rows

_NOTHING = 1e-6  # seconds: who comes back when told to is not refused for what rounding took


@dataclass(frozen=True, slots=True)
class Draw:
    """What is wanted out of one bucket of a tenant, and how that bucket fills.

    Attributes:
        bucket: its name.
        amount: how much is wanted; what is below zero is given back.
        capacity: how much it holds. A new one is full.
        per_second: how fast it fills.
    """

    bucket: str
    amount: float
    capacity: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """How much was in a bucket, below zero if it is in debt, and when that was, in seconds since some moment."""

    level: float
    at: float

    def filled(self, draw: Draw, now: float) -> Bucket:
        """The bucket as it is by now. A clock that is behind another's adds nothing, and takes nothing away."""
        later = max(now, self.at)
        return Bucket(min(draw.capacity, self.level + (later - self.at) * draw.per_second), later)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of some draws, which are all done or none is.

    Attributes:
        buckets: as they are now, by name.
        short: the bucket that lacks most, or None where all was taken.
        wait: seconds until it has enough.
    """

    buckets: Mapping[str, Bucket]
    short: str | None = None
    wait: float = 0.0


def draw(buckets: Mapping[str, Bucket], draws: Sequence[Draw], now: float, *, debt: bool = False) -> Drawn:
    """Take all the amounts out of the `buckets`, or nothing where one lacks; with `debt` it may lack.

    Args:
        buckets: by name; those that are not there are full.
        draws: each from another bucket.
        now: seconds since the same moment.
        debt: take what is not there yet, too.
    """
    filled = {each.bucket: buckets.get(each.bucket, Bucket(each.capacity, now)).filled(each, now) for each in draws}
    waits = {each.bucket: (each.amount - filled[each.bucket].level) / each.per_second for each in draws}
    short = max(waits, key=waits.__getitem__, default=None)
    if short is not None and waits[short] > _NOTHING and not debt:
        return Drawn(filled, short, waits[short])
    return Drawn(
        {
            each.bucket: Bucket(min(each.capacity, filled[each.bucket].level - each.amount), filled[each.bucket].at)
            for each in draws
        }
    )


def draw_kept(db: Database, tenant: str, draws: Sequence[Draw], *, debt: bool = False) -> Drawn:
    """Do the same with the buckets of a tenant that all processes share. It is a job of the store.

    Clocks that differ between machines by a second give that second's filling once, not again and again.
    """
    now = time.time()
    before: dict[str, Bucket] = {}
    # Always in the same order, so that two processes do not wait for each other.
    for name in sorted(each.bucket for each in draws):
        full = next(each.capacity for each in draws if each.bucket == name)
        # The row comes back locked until the commit: nobody else reads it before it is written.
        [(level, at)] = rows(db, statements.LOCK_BUCKET, {"tenant": tenant, "name": name, "level": full, "at": now})
        before[name] = Bucket(level, at)
    drawn = draw(before, draws, now, debt=debt)
    for name, bucket in drawn.buckets.items():
        rows(db, statements.SET_BUCKET, {"tenant": tenant, "name": name, "level": bucket.level, "at": bucket.at})
    return drawn
