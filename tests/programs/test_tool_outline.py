"""Tools as models read them: short, one line for one thing, whatever their schemas are."""

from __future__ import annotations

from typing import Any

import pytest

from programs import Message, Session, Transcript
from programs.tool_outline import brief, full, telling
from programs.transcript import Tool, Tools

TEXT, INTEGER = {"type": "string"}, {"type": "integer"}


def typed(schema: Any, **root: Any) -> str:
    """An argument's type as it is told."""
    tool = Tool(name="do", parameters={"type": "object", "properties": {"a": schema}, "required": ["a"], **root})
    return full(tool).splitlines()[0].removeprefix("do(a: ").removesuffix(")")


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (TEXT, "string"),
        ({"type": ["integer", "null"]}, "integer | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": "a"}, '"a"'),
        ({"type": "array", "items": TEXT}, "string[]"),
        ({"type": "array", "items": {"type": ["string", "integer"]}}, "(string | integer)[]"),
        ({"type": "array"}, "any[]"),
        ({"anyOf": [TEXT, TEXT, INTEGER]}, "string | integer"),
        ({"oneOf": [TEXT, {"type": "null"}]}, "string | null"),
        ({"type": "object", "properties": {"x": TEXT, "y": INTEGER}, "required": ["x"]}, "{x: string, y?: integer}"),
        ({"type": "object"}, "object"),
        ({"$ref": "#/$defs/word"}, "string"),
        ({"$ref": "#/$defs/nothing"}, "any"),
        ({}, "any"),
        (True, "any"),
    ],
    ids=str,
)
def test_schemas_are_told_as_types(schema: Any, told: str) -> None:
    assert typed(schema, **{"$defs": {"word": TEXT}}) == told


def test_many_values_are_told_in_part() -> None:
    told = typed({"enum": list(range(1000))})
    assert told.startswith("0 | 1 | 2")
    assert told.endswith("| ...")
    assert len(told) < 500


@pytest.mark.parametrize(
    "root",
    [
        {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 100}}},
        {"$defs": {"A": {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/A"} for n in range(20)}}}},
        {"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        {"$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}},
        {"$defs": {"A": {"type": "object", "properties": {f"p{n}": {} for n in range(5000)}}}},
    ],
    ids=["choices", "properties", "a circle", "lists", "5,000 properties"],
)
def test_what_is_endless_is_told_less_deeply(root: Any) -> None:
    told = typed({"$ref": "#/$defs/A"}, **root)
    assert 0 < len(told) < 10_000


def test_what_an_argument_is_for_stands_below() -> None:
    properties = {
        "day": {"type": "string", "format": "date", "description": "when\n  it is"},
        "n": {"type": "integer", "default": 3},
        "x": {"type": "string", "default": "d" * 10_000, "description": "w " * 1000},
    }
    lines = full(Tool(name="do", description="Does\nit.", parameters={"properties": properties})).splitlines()
    assert lines[:4] == [
        "do(day?: string, n?: integer, x?: string)",
        "  Does it.",
        "  day: when it is (format date)",
        "  n: (default 3)",
    ]
    assert len(lines) == 5
    assert len(lines[4]) < 500


def test_in_brief_a_tool_is_one_line() -> None:
    parameters = {"properties": {"a": {}, "b": {}}, "required": ["a"]}
    tool = Tool(name="do", description="Does it.\nAt length. And more.", parameters=parameters)
    assert brief([tool, Tool(name="rest")]) == "- do(a, b?): Does it.\n- rest()"
    many = brief([tool.model_copy(update={"name": f"do_{n}", "description": "x" * 5000}) for n in range(100)])
    assert len(many.splitlines()) == 100
    assert max(map(len, many.splitlines())) < 150


def test_a_session_is_told_of_its_tools_before_all_else() -> None:
    said = (Message(role="system", content="Be kind."), Message(role="user", content="Do it."))
    session = Session("s", Transcript(messages=said), tools=Tools(client=(Tool(name="do"),)))
    first, *rest = telling(session, "Use these:").transcript.messages
    assert (first.role, first.content, tuple(rest)) == ("system", "Use these:\n- do()", said)
    assert telling(Session("s", Transcript(messages=said))).transcript.messages == said
