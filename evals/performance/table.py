"""How measurements are shown: what came of each, its aim, and whether it was met."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH = 110  # wherever it is printed: a figure that is cut is worth nothing


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement.

    Attributes:
        what: was measured, where.
        values: one for each of the table's columns.
        ratio: what is compared with the aim, unless a value is.
        aim: in words.
        met: whether it was.
    """

    what: str
    values: tuple[str, ...]
    ratio: str
    aim: str
    met: bool


def show(title: str, columns: tuple[str, ...], lines: Iterable[Line]) -> None:
    """Print `lines` under `title`; `columns` name their values."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in (*columns, "ratio", "aim"):
        table.add_column(name, justify="right")
    table.add_column("met")
    for line in lines:
        table.add_row(line.what, *line.values, line.ratio, line.aim, "[green]yes[/]" if line.met else "[red]no[/]")
    Console(width=_WIDTH).print(table)
