"""Intervals against numbers from printed tables and from hand."""

from __future__ import annotations

import pytest

from evals.intervals import mean, wilson


def test_intervals_are_wilsons() -> None:
    assert [round(bound, 4) for bound in wilson(5, 10)] == [0.2366, 0.7634]
    assert [round(bound, 4) for bound in wilson(0, 20)] == [0.0, 0.1611]
    assert wilson(20, 20)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("count", "quantile"),
    [(2, 12.7062), (3, 4.3027), (4, 3.1824), (5, 2.7764), (11, 2.2281), (31, 2.0423), (121, 1.9799)],
)
def test_scores_have_students_interval(count: int, quantile: float) -> None:
    """The quantiles are those of the printed tables; half of the values are 0.4, half 0.6, and one is 0.5 if odd."""
    values = [0.4] * (count // 2) + [0.6] * (count // 2) + [0.5] * (count % 2)
    deviation = (count // 2 * 2 * 0.01 / (count - 1)) ** 0.5
    found = mean(values, -10, 10)
    assert found.value == pytest.approx(0.5)
    assert (found.high - found.low) / 2 == pytest.approx(quantile * deviation / count**0.5, rel=1e-4)


def test_scores_of_0_and_1_have_wilsons_interval() -> None:
    found = mean([1, 0] * 5)
    assert (found.value, found.low, found.high) == (0.5, *wilson(5, 10))


def test_wilsons_interval_is_stretched_over_differences() -> None:
    found = mean([1, -1] * 5, -1, 1)
    assert [round(value, 4) for value in (found.value, found.low, found.high)] == [0.0, -0.5268, 0.5268]


def test_no_interval_leaves_what_is_possible() -> None:
    found = mean([0.0, 0.0, 0.9])
    assert found.low == 0.0
    assert mean([1.0, 0.95, 0.2]).high == 1.0


def test_what_was_always_the_same_is_not_certain() -> None:
    """20 ties: in at most 16 % of tasks, either may win."""
    ties = mean([0.0] * 20, -1, 1)
    assert (ties.value, round(ties.low, 4), round(ties.high, 4)) == (0.0, -0.1611, 0.1611)
    half = mean([0.5] * 20)
    assert (half.value, round(half.low, 4), round(half.high, 4)) == (0.5, 0.4194, 0.5806)
    assert mean([0.5]).low < 0.2
