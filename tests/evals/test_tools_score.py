"""Which calls are right, by hand-worked cases of the leaderboard's rule; and which fit their schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from evals.tools.cases import Case
from evals.tools.score import why_invalid, why_wrong
from programs.transcript import ToolCall


def case(
    properties: dict[str, Any], *gold: dict[str, list[Any]], required: tuple[str, ...] = (), name: str = "book"
) -> Case:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return Case.model_validate(
        {
            "id": "1",
            "category": "made up",
            "intent": "do it",
            "tools": [
                {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}},
                {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}},
            ],
            "gold": [{"name": name, "accepted": accepted} for accepted in gold],
            "expect": "calls" if gold else "none",
        }
    )


def call(arguments: Any, name: str = "book") -> ToolCall:
    return ToolCall(id="c", name=name, arguments=json.dumps(arguments))


def right(properties: dict[str, Any], accepted: list[Any], value: Any) -> bool:
    return why_wrong(case({"x": properties}, {"x": accepted}), [call({"x": value})]) is None


@pytest.mark.parametrize(
    ("accepted", "value", "expected"),
    [
        (["New York, NY"], "new york ny", True),
        (["2022-10-30"], "2022/10/30", True),
        (["a*b^c_d"], "A B C D", True),
        (["it's"], 'it"s', True),
        (["Paris", "Paris, France"], "paris france", True),
        (["Paris"], "Paris, France", False),
        (["a:b"], "ab", False),
        (["5"], 5, False),
        ([None, "x"], None, True),
        (["x"], None, False),
    ],
)
def test_texts_are_compared_without_case_spaces_and_some_punctuation(
    accepted: list[Any], value: Any, expected: bool
) -> None:
    assert right({"type": "string"}, accepted, value) is expected


@pytest.mark.parametrize(
    ("kind", "accepted", "value", "expected"),
    [
        ("number", [5.0], 5, True),
        ("number", [5], 5.0, True),
        ("number", [0.05], 0.05, True),
        ("number", [0.05], 5, False),
        ("integer", [5], 5, True),
        ("integer", [5], 5.0, False),
        ("integer", [1], True, False),
        ("boolean", [True], True, True),
        ("boolean", [True], 1, False),
        ("boolean", [True], "true", False),
    ],
)
def test_numbers_and_truth_values_are_not_each_other(
    kind: str, accepted: list[Any], value: Any, expected: bool
) -> None:
    assert right({"type": kind}, accepted, value) is expected


@pytest.mark.parametrize(
    ("accepted", "value", "expected"),
    [
        ([["Red", "blue"]], ["red", "BLUE"], True),
        ([["red", "blue"]], ["blue", "red"], False),
        ([["red", "blue"], ["blue", "red"]], ["blue", "red"], True),
        ([["red"]], ["red", "red"], False),
        ([[[1, 2], [3]]], [[1, 2], [3]], True),
        ([["red"]], "red", False),
    ],
)
def test_lists_are_compared_item_by_item(accepted: list[Any], value: Any, expected: bool) -> None:
    assert right({"type": "array", "items": {}}, accepted, value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "JOHN", "age": 30}, True),
        ({"name": "John"}, True),
        ({"age": 30}, False),
        ({"name": "John", "size": 1}, False),
        ({"name": "Jane"}, False),
        ([{"name": "John"}], False),
    ],
)
def test_objects_are_compared_by_the_accepted_values_of_each_key(value: Any, expected: bool) -> None:
    assert right({"type": "object"}, [{"name": ["John"], "age": [30, ""]}], value) is expected


def test_objects_in_a_list_are_compared_by_accepted_values_too() -> None:
    accepted = [[{"field": ["age"], "value": ["25", "twenty-five"]}]]
    assert right({"type": "array"}, accepted, [{"field": "Age", "value": "twenty five"}])
    assert not right({"type": "array"}, accepted, [{"field": "Age", "value": "26"}])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"city": "Rome"}, None),
        ({"city": "Rome", "days": 3}, None),
        ({"city": "Rome", "note": "x"}, "book: note is not asked for"),
        ({"days": 3}, "book: city is missing"),
        ({"city": "Rome", "days": 4}, 'book: days is 4, not [3, ""]'),
        (["Rome"], "book: the arguments are no JSON object"),
    ],
)
def test_every_argument_must_be_accepted_and_only_optional_ones_may_be_absent(
    arguments: Any, reason: str | None
) -> None:
    asked = case(
        {"city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": "string"}},
        {"city": ["Rome"], "days": [3, ""]},
        required=("city",),
    )
    assert why_wrong(asked, [call(arguments)]) == reason


def test_what_the_schema_requires_may_not_be_absent() -> None:
    asked = case({"days": {"type": "integer"}}, {"days": [3, ""]}, required=("days",))
    assert why_wrong(asked, [call({})]) == "book: days is missing"


def test_several_calls_are_right_in_any_order_and_each_once() -> None:
    asked = case({"x": {"type": "integer"}}, {"x": [1]}, {"x": [2]})
    assert why_wrong(asked, [call({"x": 2}), call({"x": 1})]) is None
    assert why_wrong(asked, [call({"x": 1}), call({"x": 1})]) == "book: x is 1, not [2]"
    assert why_wrong(asked, [call({"x": 1})]) == "1 calls instead of 2"
    assert why_wrong(asked, [call({"x": 1}), call({"x": 2}), call({"x": 2})]) == "3 calls instead of 2"


def test_another_tool_is_wrong() -> None:
    assert why_wrong(case({}, {}), [call({}, name="other")]) == "calls other instead of book"


def test_where_nothing_serves_no_call_is_right() -> None:
    assert why_wrong(case({}), []) is None
    assert why_wrong(case({}), [call({})]) == "1 calls instead of 0"


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (call({"x": 1}), None),
        (call({"x": "1"}), "book: $.x: '1' is not of type 'integer'"),
        (call({}), "book: $: 'x' is a required property"),
        (call([]), "book: the arguments are no JSON object"),
        (ToolCall(id="c", name="book", arguments='{"x": '), "book: the arguments are no JSON object"),
        (call({}, name="nook"), "there is no tool 'nook'"),
    ],
)
def test_a_call_is_valid_that_fits_the_schema_of_its_tool(made: ToolCall, reason: str | None) -> None:
    asked = case({"x": {"type": "integer"}}, {"x": [1]}, required=("x",))
    assert why_invalid(asked, [made]) == reason


def test_a_valid_call_need_not_be_right() -> None:
    asked = case({"x": {"type": "integer"}}, {"x": [1]})
    assert why_invalid(asked, [call({"x": 7})]) is None
    assert why_wrong(asked, [call({"x": 7})]) == "book: x is 7, not [1]"
