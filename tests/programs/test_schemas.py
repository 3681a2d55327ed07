"""Schemas from outside: every keyword of every draft, and nothing that a schema asks for takes for ever."""

from __future__ import annotations

from typing import Any

import pytest

from programs.schemas import UnusableSchema, check, deeper_than, problem

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_6 = "http://json-schema.org/draft-06/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"

TREE: dict[str, Any] = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["value"],
    "additionalProperties": False,
}

FITS: list[tuple[Any, Any, Any]] = [
    # schema, what fits, what does not
    ({"type": "string"}, "a", 1),
    ({"type": ["integer", "null"]}, None, "a"),
    ({"type": "integer"}, 1.0, 1.5),
    ({"const": {"a": 1}}, {"a": 1}, {"a": 2}),
    ({"enum": ["a", 1, None]}, None, "b"),
    ({"minLength": 2, "maxLength": 3}, "é\N{PILE OF POO}", "a"),
    ({"pattern": r"^\p{Lu}+$"}, "É", "é"),
    ({"pattern": "b"}, "abc", "ac"),
    ({"format": "date"}, "2024-02-29", "2023-02-29"),
    ({"format": "date-time"}, "2024-02-29T10:00:00Z", "today"),
    ({"format": "email"}, "a@b.c", "a"),
    ({"format": "uuid"}, "8c1f7f5e-4f3a-4f0e-9a8e-0f2b1a3c4d5e", "8c1f"),
    ({"format": "ipv4"}, "127.0.0.1", "127.0.0.256"),
    ({"format": "regex"}, "a+", "("),
    ({"multipleOf": 0.01}, 0.5, 0.505),
    ({"minimum": 1, "maximum": 2}, 2, 3),
    ({"exclusiveMinimum": 1, "exclusiveMaximum": 3}, 2, 1),
    ({"$schema": DRAFT_4, "minimum": 1, "exclusiveMinimum": True}, 2, 1),
    ({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [1], []),
    ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1], [1, 1]),
    ({"$schema": DRAFT_7, "items": [{"type": "string"}], "additionalItems": False}, ["a"], ["a", 1]),
    ({"contains": {"const": 1}, "minContains": 2}, [1, 0, 1], [1, 0]),
    ({"$schema": DRAFT_6, "contains": {"const": 1}}, [0, 1], [0]),
    ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], [{"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}]),
    ({"uniqueItems": False}, [1, 1], None),
    ({"items": {"items": {"type": "integer"}}}, [[1], [2, 3]], [[1], ["a"]]),
    ({"unevaluatedItems": False, "prefixItems": [{}]}, [1], [1, 2]),
    ({"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1, "b": 2}, {}),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"b": 1}),
    ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "b"}),
    ({"patternProperties": {"^x": {"type": "integer"}}}, {"x1": 1, "y": "a"}, {"x1": "a"}),
    ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x1": 1}, {"y": 1}),
    ({"propertyNames": {"maxLength": 1}}, {"a": 1}, {"ab": 1}),
    ({"minProperties": 1, "maxProperties": 1}, {"a": 1}, {}),
    ({"dependentRequired": {"a": ["b"]}}, {"b": 1}, {"a": 1}),
    ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1, "b": 1}, {"a": 1}),
    ({"$schema": DRAFT_7, "dependencies": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
    ({"properties": {"a": {}}, "unevaluatedProperties": False}, {"a": 1}, {"b": 1}),
    ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, 1, 0),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "a"),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, 1, 6),
    ({"not": {"type": "integer"}}, "a", 1),
    ({"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "null"}}, None, 0),
    ({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "integer"}}}, 1, "a"),
    ({"$ref": "#here", "$defs": {"x": {"$anchor": "here", "type": "integer"}}}, 1, "a"),
    ({"$schema": DRAFT_7, "$ref": "#/definitions/a", "definitions": {"a": {"type": "integer"}}}, 1, "a"),
    ({"$schema": DRAFT_2019, "$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 1, "a"),
    (TREE, {"value": 1, "children": [{"value": 2, "children": []}]}, {"value": 1, "children": [{"children": []}]}),
    (True, 1, None),
    ({}, 1, None),
    ({"$schema": "urn:unheard-of", "prefixItems": [{"type": "integer"}]}, [1], ["a"]),
    ({"properties": {"$ref": {"type": "string"}, "$schema": {"type": "string"}}}, {"$ref": "a"}, {"$ref": 1}),
]


@pytest.mark.parametrize(("schema", "good", "bad"), FITS, ids=[str(schema)[:60] for schema, *_ in FITS])
def test_every_keyword_is_held(schema: Any, good: Any, bad: Any) -> None:
    check(schema)
    assert problem(good, schema) is None
    if bad is not None:
        wrong = problem(bad, schema)
        assert wrong is not None
        assert wrong.startswith("$")


NO_SCHEMA = [
    {"type": "strin"},
    {"type": 5},
    {"properties": []},
    {"required": "a"},
    {"minLength": -1},
    {"multipleOf": 0},
    {"$schema": []},
    {"properties": {"a": {"$schema": {}}}},
    {"pattern": "("},
    {"items": {"patternProperties": {"[": {}}}},
    {"pattern": "a" * 5000},
    {"anyOf": []},
    {"$schema": DRAFT_4, "required": []},
    [],
    "object",
    7,
]


@pytest.mark.parametrize("schema", NO_SCHEMA, ids=lambda schema: str(schema)[:60])
def test_what_is_no_schema_is_told_in_words(schema: Any) -> None:
    with pytest.raises(UnusableSchema) as refused:
        check(schema)
    assert 0 < len(str(refused.value)) < 1200


def test_large_schemas_are_checked_and_drafts_are_never_fetched() -> None:
    check({"anyOf": [{"type": "string"}] * 20_000})
    check({"$schema": DRAFT_4, "enum": [{"a": n} for n in range(20_000)]})
    check({"$schema": "http://127.0.0.1:9/draft"})
    check({"$schema": "http://json-schema.org/draft-03/schema#"})


def doubling(levels: int) -> dict[str, Any]:
    choices = {f"A{n}": {"anyOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/A0", "$defs": choices | {f"A{levels}": {"type": "null"}}}


ENDLESS: list[tuple[Any, Any, str]] = [
    ({"$ref": "#"}, 1, "without end"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, 1, "without end"),
    (doubling(40), 1, "too many steps"),
    ({"items": {"enum": list(range(10_000))}}, [-1] * 5000, "too many steps"),
    ({"anyOf": [{"type": "integer"}] * 10_000}, "x" * (1 << 20), "too many steps"),
    ({"pattern": "^(a|aa)+$"}, "a" * 60 + "!", "patterns"),
    ({"patternProperties": {"^(a|aa)+$": {}}}, {"a" * 60 + "!": 1}, "patterns"),
    ({"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False}, {"a" * 60 + "!": 1}, "patterns"),
    ({"items": {"$schema": DRAFT_7, "pattern": "^(a|aa)+$"}}, ["a" * 60 + "!"], "patterns"),
    ({"$schema": DRAFT_4, "items": {"$schema": DRAFT_7, "pattern": "^(a|aa)+$"}}, ["a" * 60 + "!"], "patterns"),
    ({"$ref": "#/$defs/nothing"}, 1, "which is not in it"),
    ({"$ref": "http://127.0.0.1:9/a"}, 1, "which is not in it"),
    ({"$ref": "file:///etc/passwd"}, 1, "which is not in it"),
    ({"$ref": "http://[x"}, 1, "which is not in it"),
    ({"$id": "http://[", "$ref": "other"}, 1, "an address in it is none"),
    ({"$schema": DRAFT_4, "items": {"$ref": 5}}, [1], "no text"),
]


@pytest.mark.parametrize(("schema", "value", "why"), ENDLESS, ids=range(len(ENDLESS)))
def test_a_schema_that_would_take_for_ever_is_unusable(schema: Any, value: Any, why: str) -> None:
    with pytest.raises(UnusableSchema, match=why):
        problem(value, schema)


def test_thousands_of_items_are_told_to_be_unique_at_once() -> None:
    items = [{"a": n} for n in range(20_000)]
    assert problem(items, {"uniqueItems": True}) is None
    assert "non-unique" in (problem([*items, {"a": 3}], {"uniqueItems": True}) or "")


def test_numbers_that_cannot_be_computed_with_do_not_fit() -> None:
    assert problem(10**400, {"multipleOf": 0.5}) == "$: a number is too large"


def test_a_message_is_short_whatever_the_value_is() -> None:
    wrong = problem({"a" * 10_000: "x" * 100_000}, {"additionalProperties": {"type": "integer"}})
    assert wrong is not None
    assert len(wrong) < 1200


def test_a_part_of_a_schema_is_held_with_the_references_of_the_whole() -> None:
    whole = {"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}
    assert problem(1, whole["properties"]["a"], whole) is None
    assert problem("a", whole["properties"]["a"], whole) == "$: 'a' is not of type 'integer'"


def test_depth_is_counted_in_levels() -> None:
    assert not deeper_than({"a": [1]}, 2)
    assert deeper_than({"a": [[1]]}, 2)
    endless: list[Any] = []
    endless.append(endless)
    assert deeper_than(endless, 100)
