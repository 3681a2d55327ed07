"""The results of a folder as one page that needs nothing else: no script, no other file, no other host."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evals import plots
from evals.reading import read
from evals.results import Result
from evals.rows import Row, kind_of, length, rows_of
from evals.summary import between, points, several
from programs.context import shorten
from programs.errors import ConfigurationError
from programs.readable import readable

TEMPLATES: Final = Path(__file__).parent / "templates"

_SHOWN_TOKENS = 1_000  # of a question, an answer or a reply
_TRACE_BYTES = 20_000  # that are shown of one; a longer one is a file beside the page
_TRACES_BYTES = 5_000_000  # of all that are shown: a page of more opens slowly


@dataclass(frozen=True, slots=True)
class Trace:
    """What was done for an answer.

    Attributes:
        text: all of it, or None where it is too long for the page, or is not there.
        link: to the file, or None where it is no file of the folder.
        size: of the file, in bytes.
    """

    text: str | None
    link: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Wrong:
    """A result that is not right, as the page shows it: `kind` of failure, or `wrong`."""

    result: Result
    kind: str
    trace: Trace | None


@dataclass(frozen=True, slots=True)
class Panel:
    """What is plotted side by side: one benchmark with one model."""

    title: str
    score: Markup
    cost: Markup


def write(folder: Path) -> Path:
    """Write the page `report.html` into a folder of results.

    Args:
        folder: with `results.jsonl`, and where the run left them `settings.json` and traces.

    Returns:
        The page.

    Raises:
        ConfigurationError: the folder has no results, or something else; or the page cannot be written.
    """
    results = read(folder)
    rows = rows_of(results)
    strategies = [*dict.fromkeys(result.cell.strategy for result in results)]
    page = _templates().get_template("report.html")
    text = page.render(
        name=folder.resolve().name,
        results=results,
        rows=rows,
        names=several(rows),
        strategies=strategies,
        measured=_measured(results, strategies),
        settings=_settings(folder),
        panels=_panels(rows, strategies),
        swatches=[plots.marker(number) for number in range(len(strategies))],
        wrong=_wrong(folder, results, strategies),
    )
    path = folder / "report.html"
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from error
    return path


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever is filled in, and is not markup of ours, was written by strangers.
        finalize=lambda value: readable(value) if type(value) is str else value,
    )
    templates.filters.update(
        points=points,
        between=between,
        size=length,
        shown=lambda text: shorten(text, _SHOWN_TOKENS),
    )
    return templates


def _measured(results: Sequence[Result], strategies: Iterable[str]) -> dict[str, str]:
    """What a reader must know first."""
    cells = [result.cell for result in results]
    spent = sum(result.prompt + result.completion for result in results)
    return {
        "Benchmarks": ", ".join(sorted({cell.benchmark for cell in cells})),
        "Lengths": ", ".join(length(tokens) for tokens in sorted({cell.tokens for cell in cells})),
        "Strategies": ", ".join(strategies),
        "Models": ", ".join(dict.fromkeys(cell.model for cell in cells)),
        "Questions": f"{len(results):,}",
        "Tokens": f"{spent:,}",
        "Minutes": f"{sum(result.seconds for result in results) / 60:,.1f}",
    }


def _settings(folder: Path) -> list[tuple[str, str]]:
    """The run's settings, a line each: what is inside of another is named by its path."""
    path = folder / "settings.json"
    if not path.exists():
        return []
    try:
        return [*_flat("", json.loads(path.read_text("utf-8")))]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: it must be JSON, as the run wrote it") from error


def _flat(name: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        yield name, ", ".join(map(_said, value))
    else:
        yield name, _said(value)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _panels(rows: Sequence[Row], strategies: Sequence[str]) -> list[Panel]:
    models = {row.model for row in rows}
    panels = []
    for benchmark, model in dict.fromkeys((row.benchmark, row.model) for row in rows):
        mine = [row for row in rows if (row.benchmark, row.model) == (benchmark, model)]
        title = benchmark if len(models) == 1 else f"{benchmark}, {model}"
        score = plots.score_plot(mine, strategies, f"Score against length: {title}")
        cost = plots.cost_plot(mine, strategies, f"Tokens for a question against length: {title}")
        panels.append(Panel(title, score, cost))
    return panels


def _wrong(folder: Path, results: Iterable[Result], strategies: Iterable[str]) -> dict[str, list[Wrong]]:
    """What is not right, for each strategy, by benchmark and length."""
    wrong = [result for result in results if not result.right or result.failure is not None]
    wrong.sort(key=lambda result: (result.cell.benchmark, result.cell.tokens, result.cell.model, result.cell.seed))
    room, found = _TRACES_BYTES, []
    for result in wrong:
        trace = None if result.trace is None else _trace(folder, result.trace, min(room, _TRACE_BYTES))
        room -= trace.size if trace is not None and trace.text is not None else 0
        found.append(Wrong(result, kind_of(result) or ("wrong" if result.score == 0 else "not wholly right"), trace))
    return {name: [one for one in found if one.result.cell.strategy == name] for name in strategies}


def _trace(folder: Path, name: Path, most: int) -> Trace:
    """A trace of the folder. What lies elsewhere is neither shown nor linked, whatever the results say."""
    home = folder.resolve()
    # No path has a null byte; a browser runs nothing of what is called .txt.
    path = home if "\0" in str(name) else (home / name).resolve()
    if not path.is_relative_to(home) or path.suffix != ".txt" or not path.is_file():
        return Trace(None, None, 0)
    size = path.stat().st_size
    text = path.read_text("utf-8", errors="replace") if size <= most else None
    return Trace(text, quote(path.relative_to(home).as_posix()), size)
