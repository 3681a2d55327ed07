"""Plots: each point is where it belongs, and what is drawn is also told."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree as Xml

import pytest

from evals.plots import BOTTOM, COLOURS, LEFT, RIGHT, TOP, cost_plot, marker, score_plot
from evals.rows import rows_of
from programs.drawing import Scale
from tests.evals.some_results import result

LENGTHS = (8192, 131072, 1048576)
SCORES = {8192: (1.0, 1.0), 131072: (1.0, 0.0), 1048576: (0.0, 0.0)}
ROWS = rows_of(
    result(tokens=tokens, seed=seed, score=score, floor=0.25, prompt=tokens // 8, completion=0)
    for tokens in LENGTHS
    for seed, score in enumerate(SCORES[tokens])
)


def points(line: Xml.Element | None) -> list[tuple[float, float]]:
    assert line is not None
    pairs = [pair.split(",") for pair in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_scales_are_straight_or_logarithmic() -> None:
    assert Scale(0, 1, BOTTOM, TOP)(0.25) == BOTTOM - (BOTTOM - TOP) / 4
    log = Scale(10, 1000, 0, 100, log=True)
    assert [log(value) for value in (10, 100, 1000)] == [0, pytest.approx(50), pytest.approx(100)]


def test_scores_are_where_they_belong() -> None:
    svg = Xml.fromstring(score_plot(ROWS, ["rants"], "Scores"))
    (line,) = svg.findall("g[@class='s0']")
    drawn = points(line.find("polyline"))
    middle = (TOP + BOTTOM) / 2
    assert [y for _, y in drawn] == [TOP, middle, BOTTOM]
    # 2 to the 4th, then to the 3rd.
    assert (drawn[1][0] - drawn[0][0]) / (drawn[2][0] - drawn[0][0]) == pytest.approx(4 / 7, abs=0.001)
    assert all(LEFT < x < RIGHT for x, _ in drawn)
    marks = [mark.attrib["transform"] for mark in line.findall("path[@class='marker']")]
    assert marks == [f"translate({x:.1f} {y:.1f})" for x, y in drawn]
    labels = [text.text for text in svg.findall("text")]
    assert labels == ["0", "20", "40", "60", "80", "100", "8k", "128k", "1M"]
    assert [float(text.attrib["x"]) for text in svg.findall("text[@class='x']")] == [x for x, _ in drawn]


def test_intervals_are_bars_and_guesses_a_dashed_line() -> None:
    svg = Xml.fromstring(score_plot(ROWS, ["rants"], "Scores"))
    bars = [bar.attrib["d"] for bar in svg.findall("g/path[@class='interval']")]
    low, high = (BOTTOM - (BOTTOM - TOP) * share for share in (0.3424, 1.0))  # Wilson's of 2 in 2
    assert [float(number) for number in bars[0].partition(",")[2].split("V")] == pytest.approx([low, high], abs=0.1)
    guess = points(svg.find("polyline[@class='guess']"))
    assert {y for _, y in guess} == {BOTTOM - (BOTTOM - TOP) / 4}
    assert (guess[0][0], guess[-1][0]) == (LEFT, RIGHT)


def test_costs_are_on_logarithmic_axes_beside_the_length_of_the_text() -> None:
    svg = Xml.fromstring(cost_plot(ROWS, ["rants"], "Costs"))
    # From 1,024 to 131,072 tokens: the axis goes from 1k to 1M, a third of it a power of ten.
    labels = [text.text for text in svg.findall("text[@class='y']")]
    assert labels == ["1k", "10k", "100k", "1M"]
    third = (BOTTOM - TOP) / 3
    drawn = points(svg.find("g/polyline"))
    assert [y for _, y in drawn] == pytest.approx(
        [BOTTOM - third * power for power in (0.0103, 1.2144, 2.1175)], abs=0.2
    )
    once = points(svg.find("polyline[@class='once']"))
    assert once[0] == pytest.approx((drawn[0][0], BOTTOM - third * 0.9134), abs=0.1)
    assert once[-1][1] == TOP


def test_strategies_differ_in_colour_and_marker_and_keep_them() -> None:
    names = [f"strategy {number}" for number in range(COLOURS)]
    rows = rows_of(result(strategy=name) for name in names)
    lines = Xml.fromstring(score_plot(rows, names, "Scores")).findall("g")
    assert [line.attrib["class"] for line in lines] == [f"s{number}" for number in range(COLOURS)]
    shapes = [mark.attrib["d"] for line in lines for mark in line.findall("path[@class='marker']")]
    assert len({*shapes}) == COLOURS
    # Those of the same length stand apart.
    assert (
        len({bar.attrib["d"].partition(",")[0] for line in lines for bar in line.findall("path[@class='interval']")})
        == 8
    )
    (line,) = Xml.fromstring(score_plot(rows[3:4], names, "Scores")).findall("g")
    assert line.attrib["class"] == "s3"
    mark = Xml.fromstring(marker(3)).find("g[@class='s3']/path")
    assert mark is not None
    assert mark.attrib["d"] == shapes[3]


def test_the_ninth_strategy_does_not_look_like_the_first() -> None:
    assert str(marker(COLOURS)) == str(marker(0)).replace('"s0"', '"s0 more"')


def test_points_of_many_strategies_stay_inside_the_axes() -> None:
    names = [f"strategy {number}" for number in range(20)]
    rows = rows_of(result(strategy=name, tokens=tokens) for name in names for tokens in LENGTHS)
    lines = Xml.fromstring(score_plot(rows, names, "Scores")).findall("g/polyline")
    assert all(LEFT <= x <= RIGHT for line in lines for x, _ in points(line))


def test_plots_are_told_to_who_does_not_see_them() -> None:
    svg = Xml.fromstring(score_plot(ROWS, ["rants"], "Score & length"))
    assert svg.attrib["role"] == "img"
    assert [child.tag for child in svg][:2] == ["title", "desc"]
    assert svg.findtext("title") == "Score & length"
    assert svg.findtext("desc") == "rants: 100 at 8k, 50 at 128k, 0 at 1M"


def test_costs_of_nothing_are_not_drawn() -> None:
    rows = rows_of([result(prompt=0, completion=0), result(tokens=131072)])
    svg = Xml.fromstring(cost_plot(rows, ["rants"], "Costs"))
    assert len(svg.findall("g/path")) == 1
    nothing = Xml.fromstring(cost_plot(rows[:1], ["rants"], "Costs"))
    assert nothing.findall("g/path") == []
    assert nothing.findtext("desc") == "No model was asked."


def test_labels_of_near_lengths_do_not_overlap() -> None:
    rows = rows_of(result(tokens=tokens) for tokens in range(8000, 200_000, 4000))
    at = [
        float(text.attrib["x"]) for text in Xml.fromstring(score_plot(rows, ["rants"], "")).findall("text[@class='x']")
    ]
    assert len(at) > 4
    assert all(b - a >= 30 for a, b in pairwise(at))
