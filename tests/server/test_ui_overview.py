"""The overview: what its plots and tables say of the runs that there were, and of whose."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import httpx2
import pytest
import yaml

from evals.scripted import Reply, ScriptedBackend, usage
from server.ui.charts import Axis, Series, bars, lines, ticks
from server.ui.overview import SPANS, Span, added, charts_of, totals
from store import Spent
from store.looking import Stretch
from tests.conftest import key_of
from tests.support import MODEL, ServerProcess, running

NOTHING = "\N{EN DASH}"
AXIS = Axis(["one", "two", "three", "four"], {0: "one", 2: "three"})


def stretch(at: float, **more: Any) -> Stretch:
    nothing: dict[str, Any] = {"runs": {}, "early": {}, "errors": {}, "median": None, "slow": None, "models": ()}
    return Stretch(at=at, **(nothing | more))


def spent(role: str, **more: Any) -> Spent:
    one: dict[str, Any] = {"calls": 1, "failed": 0, "seconds": 1.0, "prompt": 0, "completion": 0, "cached": 0}
    return Spent(role=role, **(one | more))


def test_bars_stand_on_each_other() -> None:
    chart = bars("Runs", "Runs", AXIS, [Series("a", "c0", [1, 0, 2, 0]), Series("b", "c1", [3, 0, 0, 1])], str)
    assert chart.svg is not None
    svg = Xml.fromstring(chart.svg)
    a, b = (svg.find(f"./path[@class='part {colour}']").get("d", "") for colour in ("c0", "c1"))  # type: ignore[union-attr]
    assert (a.count("M"), b.count("M")) == (2, 2), "nothing is drawn for nothing"
    (a_from, a_to), (b_from, b_to) = (re.match(r"M[\d.]+,([\d.]+)V([\d.]+)", d).groups() for d in (a, b))  # type: ignore[union-attr]
    assert a_to == b_from
    assert float(a_from) > float(a_to) > float(b_to)
    assert [chart.row(place) for place in range(4)] == [["1", "3"], ["0", "0"], ["2", "0"], ["0", "1"]]


def test_a_line_breaks_off_where_there_was_nothing() -> None:
    chart = lines("Latency", "Seconds", AXIS, [Series("median", "c0", [1.0, 2.0, None, 4.0])], str)
    assert chart.svg is not None
    svg = Xml.fromstring(chart.svg)
    assert [len(line.get("points", "").split()) for line in svg.iter("polyline")] == [2, 1]
    assert len(list(svg.iter("circle"))) == 3
    assert chart.row(2) == [NOTHING]


def test_a_plot_is_named_and_told_and_has_no_style_of_its_own() -> None:
    hostile = Series("<script>\u202e", "c0", [1, 2, 3, 4])
    for chart in (bars("Runs", "Runs", AXIS, [hostile], str), lines("Runs", "Runs", AXIS, [hostile], str)):
        assert chart.svg is not None
        svg = Xml.fromstring(chart.svg)
        assert svg.get("role") == "img"
        assert svg.findtext("title") == "Runs"
        assert "1 to 4" in (svg.findtext("desc") or "")
        assert "<script" not in chart.svg
        assert "\u202e" not in chart.svg
        assert not [element for element in svg.iter() if element.get("style")]


def test_where_there_is_nothing_there_is_no_plot() -> None:
    assert bars("Runs", "Runs", AXIS, [Series("a", "c0", [0, 0, 0, 0])], str).svg is None
    assert lines("Runs", "Runs", AXIS, [Series("a", "c0", [None] * 4)], str).svg is None


@pytest.mark.parametrize("most", [0.3, 1, 3, 7, 18.7, 99, 123_456])
@pytest.mark.parametrize("whole", [True, False])
def test_ticks_are_few_and_reach_the_most(most: float, whole: bool) -> None:
    found = ticks(most, whole=whole)
    assert found[0] == 0
    assert found[-1] >= most
    assert len(found) <= 6
    assert not whole or all(value == int(value) for value in found)


@pytest.mark.parametrize("span", SPANS.values())
def test_a_span_ends_with_the_stretch_that_goes_on(span: Span) -> None:
    for now in (1_795_933_349.4, 1_795_996_800.0):
        since, until = span.ends(now)
        assert until - since == span.stretches * span.seconds
        assert until - span.seconds <= now < until
        assert since % span.seconds == 0, "reloading moves no stretch"


def test_what_stretches_have_is_added_and_drawn() -> None:
    both = [
        stretch(
            0,
            runs={"completed": 3, "failed": 1},
            early={"budget_seconds": 1},
            errors={"rate_limit_exceeded": 1},
            median=1.5,
            slow=4.0,
            models=(spent("generator", calls=4, failed=1, seconds=6.0, prompt=1000, completion=50, cached=250),),
        ),
        stretch(
            1800,
            runs={"completed": 1},
            models=(spent("generator", prompt=1000, completion=10), spent("sub_lm", prompt=10, cached=5)),
        ),
    ]
    assert dict(totals(both)) == {
        "Runs": "5",
        "Completed": "80 %",
        "Failed": "1",
        "Ended early": "1",
        "Calls of models": "6",
        "Tokens read": "2,010",
        "of them cached": "13 %",
        "Tokens written": "60",
    }
    assert [(one.role, one.calls, one.failed, one.seconds) for one in added(both)] == [
        ("generator", 5, 1, 7.0),
        ("sub_lm", 1, 0, 1.0),
    ]
    charts = {chart.title: chart for each in charts_of(both, SPANS["day"]).values() for chart in each}
    rows = {title: [chart.row(place) for place in range(2)] for title, chart in charts.items()}
    assert rows["Runs by outcome"] == [["3", "0", "0", "1"], ["1", "0", "0", "0"]]
    assert rows["Latency"] == [["1.5 s", "4.0 s"], [NOTHING, NOTHING]]
    assert rows["Tokens"] == [["250", "750", "50"], ["5", "1k", "10"]]
    assert rows["Cache share"] == [["25 %"], ["0 %"]]
    assert rows["Early ends"] == [["1"], ["0"]]
    assert rows["Errors"] == [["1"], ["0"]]
    assert rows["Calls"] == [["4", NOTHING], ["1", "1"]]
    assert rows["Failed calls"] == [["1", NOTHING], ["0", "0"]]
    assert rows["Cache share of calls"] == [["25 %", NOTHING], ["0 %", "50 %"]]
    assert rows["Time of a call"] == [["1.5 s", NOTHING], ["1.0 s", "1.0 s"]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server with two tenants and an operator."""
    folder: Path = tmp_path_factory.mktemp("overview")
    keys: list[dict[str, Any]] = [{"key": key_of(name), "tenant_id": name} for name in ("ada", "ben")]
    keys.append({"key": key_of("olga"), "tenant_id": "olga", "operator": True})
    config = {
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted"}},
        "resilience": {"max_retries": 0, "breaker_failures": 0},
        "auth": {"enabled": True, "api_keys": keys},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        yield process


@pytest.fixture(scope="module")
def asked(kept: ServerProcess, scripted_backend: ScriptedBackend) -> Callable[..., httpx2.Response]:
    """Asks as a tenant: Ada was answered twice and once not; Ben once."""

    def get(who: str, path: str, **query: str) -> httpx2.Response:
        return httpx2.get(f"{kept.address}{path}", params=query, headers={"x-api-key": key_of(who)}, timeout=60)

    def ask(tenant: str, reply: Reply) -> None:
        scripted_backend.script = lambda _: reply
        httpx2.post(
            f"{kept.base_url}/responses",
            json={"model": MODEL, "input": "Hello?"},
            headers={"x-api-key": key_of(tenant)},
            timeout=60,
        )

    for _ in range(2):
        ask("ada", Reply(["Hello."], usage=usage(1000, 20, 400)))
    ask("ada", Reply(status=400))
    ask("ben", Reply(["Hello."], usage=usage(7, 3)))
    return get


def facts(page: httpx2.Response) -> dict[str, str]:
    assert page.status_code == 200, page.text
    return dict(re.findall(r'<dt>([^<]*)</dt><dd class="total">([^<]*)</dd>', page.text))


@pytest.mark.parametrize("span", SPANS)
def test_the_page_has_the_numbers_of_its_tenant(asked: Callable[..., httpx2.Response], span: str) -> None:
    ada = facts(asked("ada", "/ui/overview", span=span))
    assert (ada["Runs"], ada["Failed"]) == ("3", "1")
    assert (ada["Tokens read"], ada["of them cached"], ada["Tokens written"]) == ("2,000", "40 %", "40")
    ben = facts(asked("ben", "/ui/overview", span=span))
    assert (ben["Runs"], ben["Failed"], ben["Tokens read"]) == ("1", "0", "7")


def test_an_operator_sees_all_tenants_or_the_one_that_is_named(asked: Callable[..., httpx2.Response]) -> None:
    assert facts(asked("olga", "/ui/overview"))["Runs"] == "4"
    assert facts(asked("olga", "/ui/overview", tenant="ben"))["Runs"] == "1"
    assert asked("ben", "/ui/overview", tenant="ada").status_code == 404
    assert facts(asked("ben", "/ui/overview", tenant="ben"))["Runs"] == "1"


def test_each_plot_has_its_table(asked: Callable[..., httpx2.Response]) -> None:
    text = asked("ada", "/ui/overview", span="hour").text
    figures = re.findall(r"<figure>.*?</figure>", text, re.DOTALL)
    runs = next(figure for figure in figures if "Runs by outcome" in figure)
    rows = [re.findall(r'<td class="n">([^<]*)</td>', row) for row in re.findall(r"<tr>.*?</tr>", runs, re.DOTALL)]
    counted = [sum(int(row[place]) for row in rows if row) for place in range(4)]
    assert counted == [2, 0, 0, 1], "completed, incomplete, cancelled, failed"
    assert all(("<svg" in figure) == ("<table>" in figure) for figure in figures)
    assert any("None in this time." in figure for figure in figures), "no budget has stopped anything"
    assert "style=" not in html.unescape(text)


def test_an_unknown_span_is_refused(asked: Callable[..., httpx2.Response]) -> None:
    answer = asked("ada", "/ui/overview", span="century")
    assert answer.status_code == 400
    assert "span" in json.dumps(answer.json())
