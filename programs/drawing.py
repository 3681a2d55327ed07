"""Pictures as SVG, to be laid into a page: elements have classes, and the page's style has the colours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree as Xml

from markupsafe import Markup

from programs.readable import readable


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values are on an axis: `low` at the pixel `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, value = (math.log(number) if self.log else number for number in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def plot(title: str, told: str, width: int, height: int) -> Xml.Element:
    """An empty picture of so many pixels, whose title and description are read aloud."""
    svg = Xml.Element("svg", {"class": "plot", "viewBox": f"0 0 {width} {height}", "role": "img"})
    element(svg, "title", readable(title))
    element(svg, "desc", readable(told))
    return svg


def element(parent: Xml.Element, tag: str, text: str | None = None, /, **attributes: str) -> Xml.Element:
    """A new element, the last in `parent`."""
    made = Xml.SubElement(parent, tag, attributes)
    made.text = text
    return made


def points(places: Iterable[tuple[float, float]]) -> str:
    """Places as a line's `points`."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def markup(svg: Xml.Element) -> Markup:
    """The picture as a part of a page; what texts are in it is escaped."""
    return Markup(Xml.tostring(svg, encoding="unicode"))  # noqa: S704
