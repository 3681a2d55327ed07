"""Results as a table: a row a category, and how sure the totals are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from rich import box
from rich.table import Table

from evals.intervals import wilson
from evals.tools.results import Outcome, Result


def table_of(results: Sequence[Result], title: str) -> Table:
    """One row for each category, and one for all."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_footer=True)
    own = all(result.own for result in results)
    columns = ["cases", "valid", "right", "seconds", *(["own: valid", "right", "seconds"] if own else [])]
    rows = [_cells(results, own=own, interval=True)]
    table.add_column("category", footer="all")
    for name, total in zip(columns, rows[0], strict=True):
        table.add_column(name, footer=total, justify="right")
    for category in sorted({result.category for result in results}):
        alike = [result for result in results if result.category == category]
        table.add_row(category, *_cells(alike, own=own))
    return table


def paired(results: Iterable[Result]) -> str:
    """How often both sides, one of them or none was right, in words."""
    both = rants = own = neither = 0
    for result in results:
        if result.own is None:
            continue
        both += result.rants.right and result.own.right
        rants += result.rants.right and not result.own.right
        own += result.own.right and not result.rants.right
        neither += not (result.own.right or result.rants.right)
    return f"right: both {both}, only RANTS {rants}, only the model by itself {own}, neither {neither}"


def _cells(results: Sequence[Result], *, own: bool, interval: bool = False) -> list[str]:
    cells = [str(len(results)), *_side([result.rants for result in results], interval=interval)]
    if own:
        cells += _side([result.own for result in results if result.own], interval=interval)
    return cells


def _side(outcomes: Sequence[Outcome], *, interval: bool) -> list[str]:
    right = sum(outcome.right for outcome in outcomes)
    valid = sum(outcome.invalid is None for outcome in outcomes)
    low, high = wilson(right, len(outcomes))
    sure = f" ({low * 100:.0f} to {high * 100:.0f})" if interval else ""
    times = median(outcome.seconds for outcome in outcomes)
    return [f"{_percent(valid, len(outcomes))}", f"{_percent(right, len(outcomes))}{sure}", f"{times:.1f}"]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
