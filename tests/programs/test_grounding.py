"""Optional arguments that nobody has spoken of are left out; those that were, or may follow from it, stay."""

from __future__ import annotations

from typing import Any

import pytest

from programs.grounding import grounded, spoken_of
from programs.transcript import Tool

TEXT, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def schema(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


@pytest.mark.parametrize(
    ("said", "argument", "value"),
    [
        ("find a play in Berkeley", TEXT, "2023-04-15"),
        ("find a play in Berkeley", INTEGER, 10),
        ("find a play in Berkeley", NUMBER, 0.5),
        ("find a play in Berkeley", {"type": "array", "items": TEXT}, ["comedy", "drama"]),
        ("find a play in Berkeley", {"type": ["string", "null"]}, "comedy"),
    ],
)
def test_what_was_made_up_is_left_out(said: str, argument: dict[str, Any], value: Any) -> None:
    like = schema({"place": TEXT}, extra=argument)
    assert spoken_of({"place": "Berkeley", "extra": value}, like, said) == {"place": "Berkeley"}


@pytest.mark.parametrize(
    ("said", "argument", "value"),
    [
        ("read the first 50 lines of a.py", INTEGER, 50),
        ("read fifty lines of a.py", INTEGER, 50),
        ("read lines 100 to 150 of a.py", INTEGER, 51),
        ("read lines 100 to 150 of a.py", INTEGER, 99),
        ("wait 2 hours for a.py", INTEGER, 120),
        ("wait 5 seconds for a.py", INTEGER, 5000),
        ("translate a.py to German", TEXT, "de"),
        ("a loan at 4.5% in a.py", NUMBER, 0.045),
        ("search a.py for 12,000", NUMBER, 12000),
        ("search the Python files beside a.py", TEXT, "*.py"),
        ("read a.py with extra care", INTEGER, 3),  # the argument's name
        ("read a.py", {"type": "boolean"}, True),
        ("read a.py", {"enum": ["fast", "slow"]}, "slow"),
        ("read a.py", {"type": "string", "format": "date"}, "2024-05-03"),
        ("read a.py", {"type": "integer", "default": 7}, 7),
        ("read a.py", {"type": "string"}, "."),
        ("read a.py", {"type": "object"}, {"a": 1}),
        ("read a.py, 北京", TEXT, "北京"),
    ],
)
def test_what_was_spoken_of_or_may_follow_stays(said: str, argument: dict[str, Any], value: Any) -> None:
    given = {"path": "a.py", "extra": value}
    assert spoken_of(given, schema({"path": TEXT}, extra=argument), said) == given


def test_what_was_said_once_goes_to_one_argument() -> None:
    like = schema({"title": TEXT}, meta=TEXT, slug=TEXT)
    given = {"meta": "Ode to May", "title": "Ode to May", "slug": "Ode to May"}
    assert spoken_of(given, like, "add an article called Ode to May") == {"title": "Ode to May"}
    assert spoken_of(given, like, "Ode to May, meta Ode to May") == {"meta": "Ode to May", "title": "Ode to May"}


def test_what_is_required_stays() -> None:
    given = {"city": "Paris", "days": 5}
    assert spoken_of(given, schema({"city": TEXT, "days": INTEGER}), "how warm is it?") == given


def test_where_arguments_depend_on_each_other_all_stay() -> None:
    given = {"city": "Paris"}
    like = {**schema({}, city=TEXT, place=TEXT), "anyOf": [{"required": ["city"]}, {"required": ["place"]}]}
    assert spoken_of(given, like, "how warm is it?") == given


@pytest.mark.parametrize("like", [{}, {"type": "object"}, {"$ref": "#/$defs/gone"}])
def test_a_schema_that_names_nothing_leaves_all(like: dict[str, Any]) -> None:
    assert spoken_of({"city": "Paris"}, like, "") == {"city": "Paris"}


def test_references_are_followed() -> None:
    whole = schema({}, city={"$ref": "#/$defs/city"})
    like = {"$ref": "#/$defs/all", "$defs": {"all": whole, "city": {"enum": ["Paris", "Rome"]}}}
    assert spoken_of({"city": "Paris"}, like, "how warm is it?") == {"city": "Paris"}


def test_of_calls_only_the_arguments_of_known_tools_are_looked_at() -> None:
    tools = [Tool(name="read", parameters=schema({"path": TEXT}, lines=INTEGER))]
    calls = [("read", {"path": "a", "lines": 7}), ("write", {"lines": 7}), ("read", "a"), ("read", None)]
    assert grounded(calls, tools, "read a") == [("read", {"path": "a"}), *calls[1:]]
    assert grounded("no calls", tools, "read a") == "no calls"
