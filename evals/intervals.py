"""How sure a mean is: 95 % intervals for shares and for scores, from however few."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

_CONFIDENCE = 0.95
_Z = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and between which values it would lie in 95 of 100 such samples of other tasks."""

    value: float
    low: float
    high: float


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval, by Wilson's score, of the share that `right` of `count` speaks for; 0 to 1."""
    if count == 0:
        return 0.0, 1.0
    share, square = right / count, _Z**2
    middle = share + square / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    whole = 1 + square / count
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def mean(values: Sequence[float], least: float = 0.0, most: float = 1.0) -> Mean:
    """The mean of a sample with its 95 % interval.

    Values that are all `least` or `most` are a share, with Wilson's interval. Others have Student's, cut to what is
    possible. Where all are the same, Student's would be of no width, however few they are: what has not been seen may
    still be as frequent as Wilson's says of 0 in so many, and lie at either end.

    Args:
        values: at least one.
        least: what none of them is less than.
        most: what none of them is more than.
    """
    count, span = len(values), most - least
    middle = statistics.fmean(values)
    if all(value in (least, most) for value in values):
        low, high = wilson(sum(value == most for value in values), count)
        return Mean(middle, least + span * low, least + span * high)
    if min(values) == max(values):
        unseen = wilson(0, count)[1]
        return Mean(middle, middle - unseen * (middle - least), middle + unseen * (most - middle))
    spread = _student(count - 1) * statistics.stdev(values) / math.sqrt(count)
    return Mean(middle, max(least, middle - spread), min(most, middle + spread))


def _student(freedom: int) -> float:
    """How many standard errors to either side hold 95 % of Student's distribution with so many degrees of freedom."""
    low, high = 0.0, 16.0  # 12.7 is needed for one degree, which is the most
    while high - low > 1e-9:
        middle = (low + high) / 2
        if _inside(middle, freedom) < _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _inside(t: float, freedom: int) -> float:
    """How much of Student's distribution lies between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term, total = (math.cos(angle), 0.0) if odd else (1.0, 0.0)
    for power in range(1 + odd, freedom, 2):
        total += term
        term *= math.cos(angle) ** 2 * power / (power + 1)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
