"""Plots as SVG, to be laid into a page: a line a strategy, over lengths that double.

Colours are left to the page's style: what belongs to the first strategy has the class `s0`, to the second `s1`, and so
on up to `s7`. Each has a marker of its own, too, for who cannot tell the colours apart. From the ninth on they begin
anew, with the class `more`: dashed lines and hollow markers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from xml.etree import ElementTree as Xml

from markupsafe import Markup

from evals.rows import Row, length
from programs.drawing import Scale, element, markup, plot, points
from programs.readable import readable

COLOURS: Final = 8
WIDTH: Final = 400
HEIGHT: Final = 280
LEFT: Final = 44
RIGHT: Final = 386
TOP: Final = 16
BOTTOM: Final = 244

_APART = 5  # pixels between the intervals of strategies at one length,
_ASIDE = 30  # and at most between those of the first and of the last
_ROOM = 34  # pixels that a label below the axis needs
_SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",  # circle
    "M-3.6,-3.6h7.2v7.2h-7.2z",  # square
    "M0,-4.8L4.6,3.4H-4.6z",  # triangle
    "M0,-5L5,0L0,5L-5,0z",  # diamond
    "M0,4.8L4.6,-3.4H-4.6z",  # triangle that stands on its head
    "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",  # plus
    "M-4.6,-3L-3,-4.6L0,-1.6L3,-4.6L4.6,-3L1.6,0L4.6,3L3,4.6L0,1.6L-3,4.6L-4.6,3L-1.6,0z",  # cross
    "M-5,-2.5h10v5h-10z",  # bar
)


def score_plot(rows: Sequence[Row], strategies: Sequence[str], title: str) -> Markup:
    """Scores over lengths with their intervals, and dashed what a guess scores.

    Args:
        rows: of one benchmark and model.
        strategies: all of the page's, so that each looks the same in all plots.
        title: of what it is, read aloud.
    """
    x, y = _lengths(rows), Scale(0, 1, BOTTOM, TOP)
    svg = _plot(title, _told(rows, strategies, lambda row: f"{100 * row.score.value:.0f}"))
    _axes(svg, x, {y(tick / 100): str(tick) for tick in range(0, 101, 20)}, rows)
    floors = {row.tokens: row.floor for row in sorted(rows, key=lambda row: row.floor)}
    guesses = [(x(tokens), y(floor)) for tokens, floor in sorted(floors.items())]
    ends = [(LEFT, guesses[0][1]), *guesses, (RIGHT, guesses[-1][1])]
    element(svg, "polyline", **{"class": "guess", "points": points(ends)})
    present = [name for name in strategies if any(row.strategy == name for row in rows)]
    apart = min(_APART, _ASIDE / len(present))
    for name in present:
        aside = (present.index(name) - (len(present) - 1) / 2) * apart
        line = _line(svg, strategies.index(name))
        mine = _of(rows, name)
        for row in mine:
            bar = f"M{x(row.tokens) + aside:.1f},{y(row.score.low):.1f}V{y(row.score.high):.1f}"
            element(line, "path", **{"class": "interval", "d": bar})
        _trace(
            line,
            [(x(row.tokens) + aside, y(row.score.value)) for row in mine],
            [f"{name}, {length(row.tokens)}: {100 * row.score.value:.1f}" for row in mine],
            strategies.index(name),
        )
    return markup(svg)


def cost_plot(rows: Sequence[Row], strategies: Sequence[str], title: str) -> Markup:
    """Tokens for a question over lengths, and dashed those of the text itself. Where none were spent is no point.

    Args:
        rows: of one benchmark and model.
        strategies: all of the page's, so that each looks the same in all plots.
        title: of what it is, read aloud.
    """
    asked = [row for row in rows if _cost(row) > 0]
    x = _lengths(rows)
    costs = [_cost(row) for row in asked] or [row.tokens for row in rows]
    low, high = (direction(math.log10(cost)) for direction, cost in ((math.floor, min(costs)), (math.ceil, max(costs))))
    y = Scale(10**low, 10 ** max(high, low + 1), BOTTOM, TOP, log=True)
    svg = _plot(title, _told(asked, strategies, lambda row: length(round(_cost(row)))))
    _axes(svg, x, {y(10**power): length(10**power) for power in range(low, max(high, low + 1) + 1)}, rows)
    # Where tokens and length are equal: from the higher of the axes' beginnings to the lower of their ends.
    first, last = max(x.low, y.low), min(x.high, y.high)
    if first < last:
        element(svg, "polyline", **{"class": "once", "points": points([(x(end), y(end)) for end in (first, last)])})
    for name in strategies:
        mine = _of(asked, name)
        _trace(
            _line(svg, strategies.index(name)),
            [(x(row.tokens), y(_cost(row))) for row in mine],
            [f"{name}, {length(row.tokens)}: {_cost(row):,.0f}" for row in mine],
            strategies.index(name),
        )
    return markup(svg)


def marker(number: int) -> Markup:
    """A piece of a strategy's line, for a legend."""
    svg = Xml.Element("svg", {"class": "swatch", "viewBox": "0 0 28 12", "aria-hidden": "true"})
    _trace(_line(svg, number), [(0, 6), (14, 6), (28, 6)], [None, "", None], number)
    return markup(svg)


def _cost(row: Row) -> float:
    return row.prompt + row.completion


def _of(rows: Iterable[Row], strategy: str) -> list[Row]:
    return sorted((row for row in rows if row.strategy == strategy), key=lambda row: row.tokens)


def _lengths(rows: Sequence[Row]) -> Scale:
    shortest, longest = min(row.tokens for row in rows), max(row.tokens for row in rows)
    if shortest == longest:
        return Scale(shortest / 2, longest * 2, LEFT, RIGHT, log=True)
    return Scale(shortest, longest, LEFT + 20, RIGHT - 16, log=True)


def _told(rows: Sequence[Row], strategies: Sequence[str], value: Callable[[Row], str]) -> str:
    """What a plot shows, in words."""
    lines = [
        f"{name}: " + ", ".join(f"{value(row)} at {length(row.tokens)}" for row in _of(rows, name))
        for name in strategies
        if _of(rows, name)
    ]
    return "; ".join(lines) or "No model was asked."


def _plot(title: str, told: str) -> Xml.Element:
    return plot(title, told, WIDTH, HEIGHT)


def _axes(svg: Xml.Element, x: Scale, ticks: Mapping[float, str], rows: Sequence[Row]) -> None:
    for pixel, label in ticks.items():
        element(svg, "path", **{"class": "grid", "d": f"M{LEFT},{pixel:.1f}H{RIGHT}"})
        element(svg, "text", label, **{"class": "y", "x": str(LEFT - 8), "y": f"{pixel + 4:.1f}"})
    taken = -math.inf
    for tokens in sorted({row.tokens for row in rows}):
        pixel = x(tokens)
        element(svg, "path", **{"class": "axis", "d": f"M{pixel:.1f},{BOTTOM}v4"})
        if pixel - taken >= _ROOM:
            element(svg, "text", length(tokens), **{"class": "x", "x": f"{pixel:.1f}", "y": str(BOTTOM + 19)})
            taken = pixel
    element(svg, "path", **{"class": "axis", "d": f"M{LEFT},{BOTTOM}H{RIGHT}"})


def _line(svg: Xml.Element, number: int) -> Xml.Element:
    return element(svg, "g", **{"class": f"s{number % COLOURS}" + (" more" if number >= COLOURS else "")})


def _trace(line: Xml.Element, places: Sequence[tuple[float, float]], told: Sequence[str | None], number: int) -> None:
    """A line through points, with a marker at each that has something told."""
    element(line, "polyline", **{"points": points(places)})
    for (x, y), words in zip(places, told, strict=True):
        if words is None:
            continue
        dot = element(line, "path", **{"class": "marker", "d": _SHAPES[number % len(_SHAPES)]})
        dot.set("transform", f"translate({x:.1f} {y:.1f})")
        if words:
            element(dot, "title", readable(words))
