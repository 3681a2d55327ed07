"""Coercions say the same as before; what fits is left alone."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from programs.coercion import coerced, resolved
from programs.schemas import UnusableSchema, check, problem
from tests.programs.random_schemas import arguments

INTEGER, NUMBER, BOOLEAN, TEXT = ({"type": kind} for kind in ("integer", "number", "boolean", "string"))
FILE = {"type": "object", "properties": {"filePath": TEXT, "lineCount": INTEGER, "mode": {"enum": ["Read", "Write"]}}}


@pytest.mark.parametrize(
    ("schema", "written", "meant"),
    [
        (INTEGER, "5", 5),
        (INTEGER, " -5\n", -5),
        (INTEGER, "+7", 7),
        (NUMBER, "1.5", 1.5),
        (NUMBER, "1e3", 1000.0),
        (NUMBER, "12", 12),
        (BOOLEAN, "True", True),
        (BOOLEAN, "false", False),
        ({"type": ["integer", "null"]}, "None", None),
        ({"type": "null"}, "null", None),
        ({"type": "array", "items": INTEGER}, "[1, 2]", [1, 2]),
        ({"type": "array", "items": INTEGER}, ["1", 2], [1, 2]),
        ({"type": "array", "items": INTEGER}, 5, [5]),
        ({"type": "array", "items": TEXT}, "a", ["a"]),
        (FILE, '{"filePath": "a"}', {"filePath": "a"}),
        (TEXT, 5, "5"),
        (TEXT, True, "true"),
        (TEXT, 1.5, "1.5"),
        ({"enum": ["Read", "Write"]}, " read", "Read"),
        ({"enum": [1, 2]}, "2", 2),
        (FILE, {"file_path": "a", "LineCount": "3", "mode": "READ"}, {"filePath": "a", "lineCount": 3, "mode": "Read"}),
        (FILE, {"filePath": "a", "lineCount": None}, {"filePath": "a"}),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "5", 5),
        ({"oneOf": [BOOLEAN, INTEGER]}, "5", 5),
        ({"$ref": "#/$defs/n", "$defs": {"n": INTEGER}}, "5", 5),
        ({"items": {"$ref": "#/$defs/n"}, "type": "array", "$defs": {"n": {"anyOf": [INTEGER]}}}, ["5"], [5]),
    ],
)
def test_what_is_meant_is_clear(schema: Any, written: Any, meant: Any) -> None:
    assert problem(written, schema) is not None or written == meant
    made = coerced(written, schema)
    assert (made, type(made)) == (meant, type(meant))
    assert problem(made, schema) is None


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        (INTEGER, "5.5"),
        (INTEGER, "five"),
        (INTEGER, ""),
        (INTEGER, "1" * 5000),
        (INTEGER, 1.5),
        (NUMBER, "nan"),
        (NUMBER, "1e999"),
        (NUMBER, "Infinity"),
        (BOOLEAN, "yes"),
        (BOOLEAN, 1),
        (TEXT, None),
        (TEXT, {"a": 1}),
        ({"type": "array"}, None),
        ({"enum": ["a", "A"]}, " a "),
        ({"type": "object", "properties": {"a": INTEGER}, "required": ["a"]}, {"a": None}),
        ({"type": "object", "additionalProperties": False, "properties": {"a": INTEGER}}, {"b": 1}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}, "b": INTEGER}, "type": "integer"}, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_could_mean_something_else_is_left_as_it_is(schema: Any, written: Any) -> None:
    try:
        assert coerced(written, schema) == written
    except UnusableSchema:
        assert "$ref" in schema


def test_two_names_for_one_property_lose_neither_value() -> None:
    schema = {**FILE, "required": ["mode"]}
    made = coerced({"file_path": "a", "FilePath": "b"}, schema)
    assert sorted(made.values()) == ["a", "b"]


def test_the_first_items_have_schemas_of_their_own() -> None:
    schema = {"type": "array", "prefixItems": [TEXT], "items": INTEGER}
    assert coerced(["5", "6"], schema)[0] == "5"


@pytest.mark.parametrize("seed", range(150))
def test_what_fits_is_never_changed(seed: int) -> None:
    schema, value = arguments(random.Random(seed))
    check(schema)
    assert problem(value, schema) is None, (schema, value)
    before = copy.deepcopy(value)
    assert coerced(value, schema) == before
    assert value == before


@pytest.mark.parametrize("seed", range(30))
def test_what_is_written_as_text_comes_back_where_nothing_else_could_be_meant(seed: int) -> None:
    dice = random.Random(seed)
    kinds: dict[str, Any] = {"integer": dice.randint(-9, 9), "number": dice.random(), "boolean": dice.random() < 0.5}
    schema = {"type": "object", "properties": {kind: {"type": kind} for kind in kinds}, "required": list(kinds)}
    written = {kind.upper(): str(value) for kind, value in kinds.items()}
    assert coerced(written, schema) == kinds


def test_a_choice_that_doubles_for_ever_ends() -> None:
    twice = {"anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/A"}]}
    endless = {"type": "object", "properties": {"n": INTEGER, "a": {"$ref": "#/$defs/A"}}, "$defs": {"A": twice}}
    assert coerced({"n": "1"}, endless) == {"n": 1}
    with pytest.raises(UnusableSchema):
        coerced({"n": "1", "a": 1}, endless)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("#/$defs/a~1b", {"type": "integer"}),
        ("#/$defs/c%20d", {"type": "string"}),
        ("#anchor", {"$ref": "#anchor"}),
        ("#/$defs/nothing", {"$ref": "#/$defs/nothing"}),
        ("http://127.0.0.1:9/", {"$ref": "http://127.0.0.1:9/"}),
    ],
)
def test_references_are_followed_within_the_schema(ref: str, found: Any) -> None:
    root = {"$defs": {"a/b": INTEGER, "c d": TEXT}}
    assert resolved({"$ref": ref}, root) == found
