"""The page of an evaluation: whole, inert whatever is in it, and in need of nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from evals.report import TEMPLATES, write
from evals.results import Result
from programs.errors import ConfigurationError
from tests.evals.some_results import keep, realistic, result

ROOT = Path(__file__).parents[2]
EVIL = "</pre><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>" + (
    "\x1b[31m\u202etxt\x00{{ 7 * 7 }}&amp;"
)


def page_of(folder: Path) -> Any:
    """The page as a tree; it is written so that it is XML, too, and a tag out of place is an error."""
    return etree.fromstring(write(folder).read_bytes(), etree.XMLParser(resolve_entities=False, huge_tree=True))


def text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def inert(page: Any) -> None:
    """Nothing of the page runs, or asks for anything."""
    tags = {element.tag for element in page.iter() if isinstance(element.tag, str)}
    assert not tags & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "video", "audio", "image"}
    for element in page.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "style", "background")
            assert name != "href" or re.fullmatch(r"[\w%~./-]+", value), value
    (style,) = page.iter("style")
    assert not re.search(r"url\(|@import|https?:", style.text)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert "default-src 'none'" in policy


def test_a_whole_run_is_shown(tmp_path: Path) -> None:
    folder = realistic(tmp_path / "run")
    page = page_of(folder)
    inert(page)
    assert page.findtext("body/header/h1/bdi") == "run"
    facts = {text_of(fact[0]): text_of(fact[1]) for fact in page.xpath("//dl[@class='facts']/div")}
    assert facts["Lengths"] == "8k, 32k, 128k, 512k, 1M"
    assert facts["Strategies"] == "direct, truncate, rants, dspy-rlm"
    assert facts["Questions"] == "480"
    settings = {text_of(row[0]): text_of(row[1]) for row in page.xpath("//table[@class='settings']/tbody/tr")}
    assert settings["models.generator.context_window"] == "32768"
    assert settings["lengths"] == "8192, 32768, 131072, 524288, 1048576"
    assert len(page.xpath("//figure/svg[title and desc]")) == 4
    assert len(page.xpath("//table[@class='numbers']/tbody/tr")) == 2 * 5 * 4
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert len(page.xpath("//details[@class='answer']")) == sum(not json.loads(line)["right"] for line in lines)


def test_tables_have_headings(tmp_path: Path) -> None:
    page = page_of(realistic(tmp_path, tasks=1))
    for table in page.iter("table"):
        columns = table.xpath("thead/tr/th[@scope='col']")
        rows = table.xpath("tbody/tr")
        assert rows
        for row in rows:
            assert len(row) == len(columns)
            assert row[0].tag == "th"
            assert row[0].get("scope") == "row"
    assert page.get("lang") == "en"
    ids = page.xpath("//@id")
    assert len(ids) == len({*ids})
    assert {*page.xpath("//@aria-labelledby")} <= {*ids}


def test_what_is_wrong_is_by_strategy_with_its_question_and_reply(tmp_path: Path) -> None:
    keep(
        tmp_path,
        [
            result(),
            result(seed=1, score=0.0, reply="Bob", trace=Path("traces/1.txt")),
            result(seed=2, score=0.5, reply="Ada?", stopped_by="budget_seconds"),
            result(strategy="direct", score=0.0, failure="ContextTooLong", said="it is too long", reply=""),
            result(strategy="truncate"),
        ],
    )
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces/1.txt").write_text("looked everywhere")
    page = page_of(tmp_path)
    groups = page.xpath("//details[@class='strategy']")
    assert [text_of(group[0]) for group in groups] == ["rants 2 not right", "direct 1 not right"]
    first, second, third = (text_of(answer) for answer in page.xpath("//details[@class='answer']"))
    assert first.startswith("niah 8k seed 1 wrong Question Who? Wanted Ada Reply Bob Score 0.0 Spent")
    assert first.endswith("Trace What was done looked everywhere")
    assert "seed 2 budget_seconds" in second
    assert "Score 50.0, ended early by budget_seconds" in second
    assert "Failure ContextTooLong: it is too long" in third


def test_where_all_is_right_the_page_says_so(tmp_path: Path) -> None:
    assert "Nothing: every reply is right." in text_of(page_of(keep(tmp_path, [result()])))


@pytest.mark.parametrize("field", ["question", "answer", "reply", "said", "failure", "stopped_by", "strategy", "model"])
def test_text_of_strangers_is_inert(tmp_path: Path, field: str) -> None:
    evil = result(score=0.0, failure="x" if field == "said" else None).model_dump()
    (evil["cell"] if field in evil["cell"] else evil)[field] = EVIL
    keep(tmp_path, [Result.model_validate(evil), result(benchmark=EVIL)], {EVIL: [EVIL, {"a": EVIL}]})
    page = page_of(tmp_path)
    inert(page)
    assert r"<script>alert(1)</script>" in text_of(page)
    assert r"\x1b[31m\u202etxt\x00{{ 7 * 7 }}&amp;" in text_of(page)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", (tmp_path / "report.html").read_text())


def test_traces_are_inert_too(tmp_path: Path) -> None:
    keep(tmp_path, [result(score=0.0, trace=Path("traces/a.txt"))])
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces/a.txt").write_bytes(EVIL.encode() + b"\xff\xfe]]>\xef\xbf\xbf")
    page = page_of(tmp_path)
    inert(page)
    assert r"\x1b[31m\u202etxt\x00" in text_of(page)


def test_a_line_of_a_megabyte_is_cut(tmp_path: Path) -> None:
    long = "ab" * 500_000
    keep(tmp_path, [result(score=0.0, question=long, answer=long, reply=long)])
    page = page_of(tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 60_000
    assert text_of(page).count("characters are left out here") == 3


def test_long_traces_are_linked(tmp_path: Path) -> None:
    sizes = {"short": 20_000, "long": 20_001}
    (tmp_path / "traces").mkdir()
    for name, size in sizes.items():
        (tmp_path / f"traces/{name} #1.txt").write_text("x" * size)
    traces = [Path(f"traces/{name} #1.txt") for name in sizes]
    keep(tmp_path, [result(score=0.0, seed=seed, trace=trace) for seed, trace in enumerate(traces)])
    page = page_of(tmp_path)
    assert [link.get("href") for link in page.iter("a")] == ["traces/long%20%231.txt"]
    assert (tmp_path / "traces/long #1.txt").exists()
    assert [pre.text for pre in page.xpath("//dd/details/pre")] == ["x" * 20_000]


def test_traces_together_are_not_too_much(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces/a.txt").write_text("x" * 20_000)
    keep(tmp_path, [result(score=0.0, seed=seed, trace=Path("traces/a.txt")) for seed in range(260)])
    page = page_of(tmp_path)
    assert len(page.xpath("//dd/details/pre")) == 250
    assert len(page.xpath("//a")) == 10


@pytest.mark.parametrize(
    "trace", ["../secret.txt", "{}/secret.txt", "traces/link.txt", "traces/page.html", "a\0.txt", "no"]
)
def test_only_traces_of_the_folder_are_shown(tmp_path: Path, trace: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "run"
    (folder / "traces").mkdir(parents=True)
    (folder / "traces/link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "traces/page.html").write_text("secret")
    keep(folder, [result(score=0.0, trace=Path(trace.format(tmp_path)))])
    text = text_of(page_of(folder))
    assert "secret" not in text
    assert "Trace not in the folder" in text


def test_a_folder_that_cannot_be_shown_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        write(tmp_path)
    keep(tmp_path, [result()])
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"settings\.json: it must be JSON"):
        write(tmp_path)
    (tmp_path / "settings.json").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(ConfigurationError, match="cannot write"):
        write(tmp_path)


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    folder = realistic(tmp_path, tasks=2)
    first = write(folder).read_bytes()
    assert write(folder).read_bytes() == first


def test_the_templates_are_beside_the_module_and_so_in_the_wheel() -> None:
    assert {path.name for path in TEMPLATES.iterdir()} == {"report.html", "report.css"}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert TEMPLATES.relative_to(ROOT).parts[0] in wheel["packages"]
    assert not {"exclude", "only-include"} & {*wheel}
