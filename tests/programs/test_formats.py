"""Answers as text, and which texts fit the format that a client asked for."""

import json
import time
from typing import Any

import pytest

from programs.formats import as_text, misfit


def schema(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": wanted, "strict": None}}


PERSON = schema(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize("text", ["", "plain", '"quoted"', "{}", "é😀\n\0"])
def test_text_is_read_as_it_is(text: str) -> None:
    assert as_text(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (["é", 1], '["é", 1]'),
        ({"name": "😀", "in": {}}, '{"name": "😀", "in": {}}'),
    ],
)
def test_anything_else_is_read_as_json(value: Any, text: str) -> None:
    assert as_text(value) == text
    assert json.loads(text) == value


def test_any_text_fits_where_no_format_was_asked_for() -> None:
    assert misfit("not { JSON", None) is None


@pytest.mark.parametrize("text", ["{}", '{"a": [1, 2]}', ' {"a": null} \n'])
def test_a_json_object_fits_json_object(text: str) -> None:
    assert misfit(text, {"type": "json_object"}) is None


@pytest.mark.parametrize("text", ["[]", "1", '"{}"', "null"])
def test_other_json_does_not_fit_json_object(text: str) -> None:
    assert misfit(text, {"type": "json_object"}) == "it is not a JSON object"


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, PERSON])
@pytest.mark.parametrize(
    "text", ["", "Ada", "{'name': 'Ada'}", '{"name": "Ada"', '```json\n{"name": "Ada", "age": 1}\n```']
)
def test_what_is_not_json_fits_no_format(text: str, wanted: dict[str, Any]) -> None:
    assert str(misfit(text, wanted)).startswith("it is not JSON (")


def test_json_of_the_schemas_shape_fits() -> None:
    assert misfit('{"name": "Ada", "age": 36}', PERSON) is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"name": "Ada", "age": "36"}', "$.age: '36' is not of type 'integer'"),
        ('{"name": "Ada", "age": -1}', "$.age: -1 is less than the minimum of 0"),
        ('{"name": "Ada"}', "$: 'age' is a required property"),
        ('{"name": "Ada", "age": 1, "x": 0}', "$: Additional properties"),
        ("[]", "$: [] is not of type 'object'"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(text: str, where: str) -> None:
    assert str(misfit(text, PERSON)).startswith(where)


def test_a_misfit_is_told_briefly() -> None:
    assert len(str(misfit(json.dumps({"name": ["x"] * 100_000, "age": 1}), PERSON))) < 1000


def test_a_schema_is_read_in_the_draft_that_it_names() -> None:
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 5, "exclusiveMinimum": True}
    assert misfit("5", schema(old))
    assert misfit("6", schema(old)) is None


def test_a_schema_may_refer_to_its_own_parts() -> None:
    tree = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    assert misfit("[[], [[]]]", schema(tree)) is None
    assert misfit("[[], [1]]", schema(tree)) == "$[1][0]: 1 is not of type 'array'"


@pytest.mark.parametrize(
    "wanted",
    [
        {"type": "strnig"},
        {"properties": 3},
        {"$ref": "#/nowhere"},
        {"$ref": "http://192.0.2.1/never-fetched"},
        {"$ref": "#"},
        {"type": "string", "pattern": "("},
    ],
)
def test_a_schema_that_is_none_bars_no_answer_and_is_not_fetched(wanted: dict[str, Any]) -> None:
    start = time.monotonic()
    assert misfit('"answer"', schema(wanted)) is None
    assert misfit('{"a": 1}', schema(wanted)) is None
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("wanted", [{"type": "json_object"}, PERSON])
def test_json_that_is_nested_too_deeply_does_not_fit(wanted: dict[str, Any]) -> None:
    assert misfit('{"a":' * 200_000, wanted) == "it is nested too deeply"


def test_surrogates_and_escapes_are_json_too() -> None:
    assert misfit('{"name": "\\ud83d\\ude00 \\u00e9", "age": 1}', PERSON) is None
