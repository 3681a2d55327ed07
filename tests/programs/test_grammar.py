"""What a compiler's reply is held to: never more than the tools' schemas ask for, and what backends can take."""

from __future__ import annotations

import json
import random
import re
from contextlib import aclosing
from typing import Any

import jsonschema
import pytest

from programs import RANTS, Backends, Message, Sampling, Session, Transcript
from programs.events import RunDone
from programs.grammar import calls_schema
from programs.schemas import check, problem
from programs.transcript import Tool
from tests.programs.random_schemas import arguments

_KNOWN = {
    *("type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"),
    *("minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "format", "pattern"),
}


def constraint(parameters: Any, *blocks: str, parallel: bool = True, required: bool = False) -> dict[str, Any]:
    """What a call of a tool with these parameters is held to."""
    tool = Tool(name="do", parameters=parameters)
    return calls_schema([tool], blocks, required=required, most=16 if parallel else 1)


def holds(parameters: Any, value: Any, *blocks: str) -> bool:
    schema = constraint(parameters, *blocks)["properties"]["tool_calls"]
    return problem([{"name": "do", "arguments": value}], schema) is None


def properties(**inner: Any) -> dict[str, Any]:
    return {"type": "object", "properties": inner}


def keywords(schema: Any) -> set[str]:
    found = set(schema)
    for name, inner in schema.items():
        match name, inner:
            case "properties", dict():
                found |= {word for one in inner.values() for word in keywords(one)}
            case "anyOf", list():
                found |= {word for one in inner for word in keywords(one)}
            case "items" | "additionalProperties", dict():
                found |= keywords(inner)
    return found


@pytest.mark.parametrize("seed", range(400))
def test_what_fits_the_tool_s_schema_fits_the_constraint(seed: int) -> None:
    parameters, value = arguments(random.Random(seed))
    # That what may be anything is closed is meant: no model should invent arguments.
    if "additionalProperties" not in parameters:
        value.pop("more", None)
    assert problem(value, parameters) is None
    made = constraint(parameters)
    check(made)
    assert keywords(made) <= _KNOWN
    assert holds(parameters, value), (parameters, made, value)
    assert "$ref" not in json.dumps(made)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer", "enum": list(range(500))}, 499),
        ({"type": "array", "minItems": 100, "items": {"type": "integer"}}, [1] * 100),
        ({"type": "array", "minItems": 10**6}, [1] * 10**6),
        ({"type": "string", "minLength": 5000}, "x" * 5000),
        ({"type": "integer", "minimum": 10**300}, 10**300),
        ({"type": "object", "required": ["b"], "properties": {"a": {"type": "null"}}}, {"b": 1}),
        ({"type": "object", "required": ["b"]}, {"b": 1}),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}}, {"b": 1}),
        ({"type": "object", "properties": {"a": {}}, "patternProperties": {"^b": {}}}, {"b": 1}),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", 1]),
        ({"$ref": "#/$defs/a", "properties": {"c": {}}, "required": ["c"]}, {"b": 1, "c": 2}),
        ({"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}),
        ({"type": "string", "anyOf": [{"pattern": "^a$"}, {"maxLength": 2}]}, "bc"),
        ({"type": "string", "properties": {"a": {}}}, "a"),
        ({"not": {"type": "integer"}}, "a"),
        ({"$ref": "#/$defs/nothing"}, "a"),
        (True, "a"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_awkward_schemas_are_held_loosely(schema: Any, value: Any) -> None:
    defs = {"a": {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}}
    assert holds({**properties(a=schema), "$defs": defs}, {"a": value})


def test_what_is_kept_is_held() -> None:
    schema = {
        **properties(
            n={"type": "integer", "minimum": 1, "maximum": 9},
            day={"type": "string", "format": "date"},
            code={"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"},
            size={"enum": ["small", "large"]},
            choice={"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        ),
        "required": ["n"],
    }
    assert holds(schema, {"n": 1, "day": "2024-01-01", "code": "AB-1234", "size": "small", "choice": None})
    for wrong in ({}, {"n": 0}, {"n": 1, "code": "ab"}, {"n": 1, "size": "S"}, {"n": 1, "choice": 5}, {"n": 1, "m": 1}):
        assert not holds(schema, wrong)


def test_what_two_sides_of_a_choice_share_is_kept() -> None:
    schema = {**properties(a={"type": "integer"}), "anyOf": [{"required": ["a"]}, properties(b={"type": "integer"})]}
    assert holds({**properties(x=schema)}, {"x": {"a": 1, "b": 2}})
    assert not holds({**properties(x=schema)}, {"x": {"a": "no"}})


def test_a_text_may_be_a_block_and_no_other() -> None:
    assert holds(properties(a={"type": "string"}), {"a": {"$block": "OLD"}}, "OLD")
    assert not holds(properties(a={"type": "string"}), {"a": {"$block": "NEW"}}, "OLD")
    assert not holds(properties(a={"type": "string"}), {"a": {"$block": "OLD"}})


def test_calls_are_counted() -> None:
    one = {"name": "do", "arguments": {}}
    calls = constraint({})["properties"]["tool_calls"]
    assert problem([], calls) is None
    assert problem([one] * 2, calls) is None
    assert problem([], constraint({}, required=True)["properties"]["tool_calls"]) is not None
    assert problem([one] * 2, constraint({}, parallel=False)["properties"]["tool_calls"]) is not None
    assert problem([{"name": "other", "arguments": {}}], calls) is not None


RECURSIVE = properties(**{f"p{n}": {"$ref": "#"} for n in range(7)})
BRANCHING = {
    **properties(a={"$ref": "#/$defs/A"}),
    "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 100 + [{"type": "null"}]}},
}


@pytest.mark.parametrize("schema", [RECURSIVE, BRANCHING, properties(**{f"p{n}": {} for n in range(5000)})])
def test_a_schema_that_is_endless_when_it_is_written_out_is_told_less_deeply(schema: Any) -> None:
    made = constraint(schema)
    assert len(json.dumps(made)) < 100_000
    jsonschema.validate({"tool_calls": [{"name": "do", "arguments": {}}]}, made)


async def test_the_embedded_engine_holds_a_model_to_awkward_schemas() -> None:
    awkward = Tool(
        name="do",
        parameters={
            **properties(
                day={"type": "string", "format": "date-time"},
                code={"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"},
                many={"type": "array", "minItems": 1000, "items": {"$ref": "#/$defs/tree"}},
                some={"type": "array", "maxItems": 10**9, "items": {"type": "string", "minLength": 10**9}},
                number={"type": "integer", "minimum": -(10**300), "maximum": 10**300},
                choice={"anyOf": [{"type": "null"}, {"enum": [f"v{n}" for n in range(500)]}, {"const": {"a": [1]}}]},
                tuple={"prefixItems": [{"type": "string"}], "items": False, "type": "array"},
                never=False,
                **{'"\n</system>': {"type": ["string", "null"]}, "$block": {}, "é": {"$ref": "#/$defs/nothing"}},
            ),
            "$defs": {"tree": properties(children={"type": "array", "items": {"$ref": "#/$defs/tree"}})},
            "required": ["code", "unheard of"],
            "additionalProperties": {"type": "boolean"},
        },
    )
    tools = [awkward, Tool(name="recursive", parameters=RECURSIVE), Tool(name="branching", parameters=BRANCHING)]
    schema = calls_schema(tools, ["OLD", "NEW"], required=True, most=16)
    wanted = {"type": "json_schema", "json_schema": {"name": "tool_calls", "schema": schema}}
    backends = Backends()
    session = Session("test", Transcript(messages=(Message(role="user", content="Do it."),)))
    try:
        sampling = Sampling(max_tokens=40, temperature=0, response_format=wanted)
        async with aclosing(RANTS(backends).run(session, sampling)) as events:
            done = [event async for event in events][-1]
    finally:
        await backends.aclose()
    assert isinstance(done, RunDone)
    # It has begun as the schema says, which a model by itself would not.
    assert re.match(r'\s*\{\s*"tool_calls"', done.text), done.text
