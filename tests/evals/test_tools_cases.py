"""The file of cases: what is refused, and which of them are chosen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evals.tools.cases import Case, choose, read
from programs.errors import ConfigurationError

FUNCTION = {"name": "book", "description": "Books.", "parameters": {"type": "object", "properties": {}}}
LINE: dict[str, Any] = {
    "id": "1",
    "category": "simple",
    "intent": "Book it.",
    "tools": [{"type": "function", "function": FUNCTION}],
    "gold": [{"name": "book", "accepted": {}}],
    "expect": "calls",
    "language": "python",
}


def written(path: Path, *lines: Any) -> Path:
    file = path / "cases.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return file


def many(**categories: int) -> list[Case]:
    return [
        Case.model_validate({**LINE, "id": f"{category} {number}", "category": category})
        for category, count in categories.items()
        for number in range(count)
    ]


def test_a_case_holds_its_tools_and_what_is_right(tmp_path: Path) -> None:
    (case,) = read(written(tmp_path, LINE, ""))
    assert (case.id, case.intent, case.tools[0].name, case.gold[0].name) == ("1", "Book it.", "book", "book")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"intent": ""}, "line 1: intent: "),
        ({"tools": "none"}, "line 1: tools: "),
        ({"tools": [{"type": "function", "function": {"description": "no name"}}]}, "line 1: tools.0.name: "),
        ({"gold": [{"name": "cook"}]}, "line 1: the line: Value error, gold calls 'cook', which is not among tools"),
        ({"gold": []}, "gold must hold the right calls"),
        ({"expect": "none"}, "gold must hold the right calls"),
        ({"expect": "maybe"}, "line 1: expect: "),
    ],
)
def test_a_line_that_is_no_case_is_named_with_its_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(written(tmp_path, {**LINE, **change}))


def test_a_file_must_be_there_and_hold_different_cases(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the cases"):
        read(tmp_path / "nothing.jsonl")
    with pytest.raises(ConfigurationError, match="holds no cases"):
        read(written(tmp_path, ""))
    with pytest.raises(ConfigurationError, match="line 2: the line: Invalid JSON"):
        read(written(tmp_path, LINE, "{"))
    with pytest.raises(ConfigurationError, match="line 2: id: there is another case '1'"):
        read(written(tmp_path, LINE, LINE))


def test_a_seed_chooses_and_each_category_keeps_its_share() -> None:
    cases = many(simple=60, parallel=30)
    chosen = choose(cases, seed=1, count=30)
    assert Counter(case.category for case in chosen) == {"simple": 20, "parallel": 10}
    assert [case.id for case in chosen] == [case.id for case in choose(cases, seed=1, count=30)]
    assert [case.id for case in chosen] != [case.id for case in choose(cases, seed=2, count=30)]


def test_the_halves_have_nothing_in_common_whatever_is_chosen_of_them() -> None:
    cases = many(simple=61, parallel=30)
    tried = {case.id for case in choose(cases, seed=3, half="development")}
    reported = {case.id for case in choose(cases, seed=3, half="held-out")}
    assert tried | reported == {case.id for case in cases}
    assert not tried & reported
    of_parallel = {case.id for case in choose(cases, seed=3, half="development", categories=["parallel"], count=5)}
    assert of_parallel <= tried
    assert len(of_parallel) == 5
    assert len([name for name in reported if name.startswith("parallel")]) in (14, 15, 16)


def test_each_half_has_half_of_each_category() -> None:
    cases = many(simple=6, parallel=6)
    halves = choose(cases, seed=3, half="development"), choose(cases, seed=3, half="held-out")
    counts = [Counter(case.category for case in half) for half in halves]
    assert [(count["simple"], count["parallel"]) for count in counts] == [(3, 3), (3, 3)]


def test_a_category_that_no_case_has_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'serial'; there are parallel, simple"):
        choose(many(simple=1, parallel=1), categories=["serial"])
