"""Results in the terminal: as a table, and those of two folders side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from evals.comparison import Joined, join
from evals.intervals import Mean
from evals.reading import read
from evals.results import Result
from evals.rows import Row, length, rows_of
from programs.readable import readable


def table_of(results: Sequence[Result], title: str) -> Table:
    """A row for each benchmark, length, strategy and model; a column for each of these that has several values.

    Args:
        results: of a run.
        title: above the table.
    """
    rows = rows_of(results)
    names = several(rows)
    table = _table(title, names)
    for name in ("tasks", "score", "95 %", "guess", "right", "tokens in", "out", "calls", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    failed = any(row.failures for row in rows)
    if failed:
        table.add_column("failures", overflow="fold")
    for before, row, after in zip([None, *rows], rows, [*rows[1:], None], strict=False):
        table.add_row(
            *_named(row, before, names),
            str(row.tasks),
            points(row.score.value),
            between(row.score),
            points(row.floor),
            f"{100 * row.right:.0f} %",
            f"{row.prompt:,.0f}",
            f"{row.completion:,.0f}",
            f"{row.model_calls:g}",
            f"{row.seconds:,.1f}",
            *([_text("\n".join(f"{kind} {count}" for kind, count in row.failures))] if failed else []),
            end_section=after is not None and after.benchmark != row.benchmark,
        )
    return table


def compare(a: Path, b: Path) -> Table:
    """The results of two folders for the tasks that both have; differences, wins and losses are those of `b`.

    Args:
        a: a folder of results.
        b: another one. Where each has one model, the models may differ.

    Raises:
        ConfigurationError: a folder has no results, both have none in common, or their tasks are not the same.
    """
    joined = join(read(a), read(b))
    names = several(joined)
    (one, other) = (a.name, b.name) if a.name != b.name else (str(a), str(b))
    table = _table(f"a: {one}\nb: {other}", names)
    for name in ("tasks", "score a", "score b", "b - a", "95 %", "wins", "losses", "ties", "tokens b/a"):
        table.add_column(name, justify="right")
    for before, row in zip([None, *joined], joined, strict=False):
        table.add_row(
            *_named(row, before, names),
            str(row.tasks),
            points(row.a),
            points(row.b),
            f"{100 * row.difference.value:+.1f}",
            between(row.difference, sign="+"),
            str(row.wins),
            str(row.losses),
            str(row.tasks - row.wins - row.losses),
            "-" if row.cost is None else f"{row.cost:.2f}",
        )
    return table


def points(share: float) -> str:
    """A score of 0 to 1 as one of 0 to 100."""
    return f"{100 * share:.1f}"


def between(mean: Mean, sign: str = "") -> str:
    """The interval of a mean, in points."""
    return f"{100 * mean.low:{sign}.0f} to {100 * mean.high:{sign}.0f}"


_NAMES = ("benchmark", "tokens", "strategy", "model")


def several(rows: Sequence[Row] | Sequence[Joined]) -> list[str]:
    """The names of what tells the rows apart; `strategy` where nothing does."""
    return [name for name in _NAMES if len({getattr(row, name) for row in rows}) > 1] or ["strategy"]


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(title=_text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for name in names:
        table.add_column("length" if name == "tokens" else name, justify="right" if name == "tokens" else "left")
    return table


def _named(row: Row | Joined, before: Row | Joined | None, names: Sequence[str]) -> list[Text]:
    """What tells a row apart; what is as in the row before is left out, up to where they differ."""
    cells, alike = [], True
    for name in names:
        value = getattr(row, name)
        alike = alike and before is not None and getattr(before, name) == value and name != names[-1]
        cells.append(_text("" if alike else length(value) if name == "tokens" else value))
    return cells


def _text(text: str) -> Text:
    return Text(readable(text))
