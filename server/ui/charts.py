"""Plots of what happened over time, as SVG: bars that stand on each other, and lines.

Colours are left to the page's style: each series has a class. Every plot comes with its numbers, for a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from xml.etree import ElementTree as Xml

from markupsafe import Markup

from programs.drawing import Scale, element, markup, plot, points
from programs.readable import readable

WIDTH: Final = 400
HEIGHT: Final = 190
LEFT: Final = 46
RIGHT: Final = 392
TOP: Final = 10
BOTTOM: Final = 160

_TICKS = 4  # at most, above zero
_DOT = 1.75  # pixels: the radius of a line's point

type Form = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Axis:
    """The stretches of time that a plot is about.

    Attributes:
        stretches: when each begins, in words.
        ticks: the labels below the axis, by the number of the stretch that they stand at the beginning of.
    """

    stretches: Sequence[str]
    ticks: dict[int, str]

    def x(self, place: float) -> float:
        """The pixel where stretch `place` begins."""
        return LEFT + (RIGHT - LEFT) * place / len(self.stretches)


@dataclass(frozen=True, slots=True)
class Series:
    """One value for each stretch.

    Attributes:
        name: what they are.
        colour: the class of the page's style.
        values: None where there was nothing to measure.
    """

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A plot and its numbers.

    Attributes:
        drawn: as what.
        title: what it shows.
        unit: of its values.
        svg: the plot; None where there is nothing in all of the time.
        axis: its stretches.
        series: for the legend, and for the table.
        form: how a value is written.
    """

    drawn: Literal["bars", "lines"]
    title: str
    unit: str
    svg: Markup | None
    axis: Axis
    series: Sequence[Series]
    form: Form

    def row(self, place: int) -> list[str]:
        """What the table says of a stretch."""
        return [_written(series.values[place], self.form) for series in self.series]


def bars(title: str, unit: str, axis: Axis, series: Sequence[Series], form: Form) -> Chart:
    """Whole numbers that add up: each stretch has one bar, and each series a part of it."""
    sums = [sum(one.values[place] or 0 for one in series) for place in range(len(axis.stretches))]
    if not any(sums):
        return Chart("bars", title, unit, None, axis, series, form)
    svg, y = _frame(title, unit, axis, series, form=form, values=ticks(max(sums), whole=True))
    for one in series:
        d = []
        for place, value in enumerate(one.values):
            if value:
                below = sum(other.values[place] or 0 for other in series[: _place(series, one)])
                left, right = axis.x(place) + 0.75, axis.x(place + 1) - 0.75
                d.append(f"M{left:.1f},{y(below):.1f}V{y(below + value):.1f}H{right:.1f}V{y(below):.1f}z")
        element(svg, "path", **{"class": f"part {one.colour}", "d": "".join(d)})
    _told(svg, axis, series, form)
    return Chart("bars", title, unit, markup(svg), axis, series, form)


def lines(
    title: str, unit: str, axis: Axis, series: Sequence[Series], form: Form, *, most: float | None = None
) -> Chart:
    """Values beside each other: each series is a line, which breaks off where there was nothing to measure.

    Args:
        title: what it shows.
        unit: of its values.
        axis: its stretches.
        series: one line each.
        form: how a value is written.
        most: where the axis ends; by default beyond the highest value.
    """
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return Chart("lines", title, unit, None, axis, series, form)
    svg, y = _frame(title, unit, axis, series, form=form, values=ticks(most or max(known)))
    for one in series:
        line = element(svg, "g", **{"class": f"line {one.colour}"})
        for piece in _pieces(one.values):
            places = [(axis.x(place + 0.5), y(value)) for place, value in piece]
            element(line, "polyline", **{"points": points(places)})
            for x, height in places:
                element(line, "circle", **{"cx": f"{x:.1f}", "cy": f"{height:.1f}", "r": str(_DOT)})
    _told(svg, axis, series, form)
    return Chart("lines", title, unit, markup(svg), axis, series, form)


def swatch(colour: str, *, line: bool) -> Markup:
    """A piece of a series, for a legend."""
    svg = Xml.Element("svg", {"class": "swatch", "viewBox": "0 0 16 10", "aria-hidden": "true"})
    if line:
        group = element(svg, "g", **{"class": f"line {colour}"})
        element(group, "polyline", **{"points": "0,5 16,5"})
    else:
        element(svg, "path", **{"class": f"part {colour}", "d": "M3,0h10v10h-10z"})
    return markup(svg)


def ticks(most: float, *, whole: bool = False) -> list[float]:
    """Round values, or `whole` numbers, from 0 to one that is not below `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = max(most / _TICKS, 1.0) if whole else most / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    steps = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(times * power for times in steps if times * power >= rough * (1 - 1e-9))
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def _frame(
    title: str, unit: str, axis: Axis, series: Sequence[Series], *, form: Form, values: Sequence[float]
) -> tuple[Xml.Element, Scale]:
    svg = plot(title, _in_words(series, unit, form), WIDTH, HEIGHT)
    y = Scale(0, values[-1], BOTTOM, TOP)
    for value in values:
        element(svg, "path", **{"class": "grid", "d": f"M{LEFT},{y(value):.1f}H{RIGHT}"})
        element(svg, "text", form(value), **{"class": "y", "x": str(LEFT - 6), "y": f"{y(value) + 4:.1f}"})
    for place, label in axis.ticks.items():
        x = axis.x(place)
        element(svg, "path", **{"class": "axis", "d": f"M{x:.1f},{BOTTOM}v4"})
        element(svg, "text", label, **{"class": "x", "x": f"{x:.1f}", "y": str(BOTTOM + 18)})
    element(svg, "path", **{"class": "axis", "d": f"M{LEFT},{BOTTOM}H{RIGHT}"})
    return svg, y


def _told(svg: Xml.Element, axis: Axis, series: Sequence[Series], form: Form) -> None:
    """What each stretch has, for a pointer that rests on it."""
    for place, when in enumerate(axis.stretches):
        said = [f"{one.name}: {_written(one.values[place], form)}" for one in series if one.values[place]]
        if said:
            d = f"M{axis.x(place):.1f},{TOP}V{BOTTOM}H{axis.x(place + 1):.1f}V{TOP}z"
            rest = element(svg, "path", **{"class": "rest", "d": d})
            element(rest, "title", readable("\n".join([when, *said])))


def _in_words(series: Sequence[Series], unit: str, form: Form) -> str:
    """From the least to the most of each series."""
    said = []
    for one in series:
        known = [value for value in one.values if value is not None]
        if known:
            said.append(f"{one.name}: {form(min(known))} to {form(max(known))}")
    return f"{unit}. {'; '.join(said)}. The table has each value."


def _pieces(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """The values that follow on each other without a gap, with their places."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for place, value in enumerate(values):
        if value is not None:
            pieces[-1].append((place, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _place(series: Sequence[Series], one: Series) -> int:
    return next(place for place, other in enumerate(series) if other is one)


def _written(value: float | None, form: Form) -> str:
    return "\N{EN DASH}" if value is None else form(value)
