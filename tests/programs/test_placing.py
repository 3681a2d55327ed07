"""Blocks that a compiler has left out."""

from __future__ import annotations

from typing import Any

import pytest

from programs.placing import placed


def schema(*required: str, **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


TEXT = {"type": "string"}
EDIT = schema(
    "filePath", "oldString", "newString", filePath=TEXT, oldString=TEXT, newString=TEXT, replaceAll={"type": "boolean"}
)
WRITE = schema("filePath", "content", filePath=TEXT, content=TEXT, note=TEXT)


@pytest.mark.parametrize(
    ("arguments", "like", "lost", "said", "expected"),
    [
        (
            {"filePath": "a.py", "content": "x"},
            WRITE,
            {"CODE": "y"},
            "write a.py",
            {"filePath": "a.py", "content": "y"},
        ),
        ({"filePath": "a.py"}, WRITE, {"ANYTHING": "y"}, "write a.py", {"filePath": "a.py", "content": "y"}),
        (
            {"filePath": "a.py", "oldString": "made up", "newString": "too"},
            EDIT,
            {"NEW": "n", "OLD": "o"},
            "in a.py replace OLD with NEW",
            {"filePath": "a.py", "oldString": "o", "newString": "n"},
        ),
        (
            {"filePath": "a.py", "oldString": "1", "newString": "made up"},
            EDIT,
            {"NEW": "n"},
            "in a.py replace 1 with NEW",
            {"filePath": "a.py", "oldString": "1", "newString": "n"},
        ),
    ],
)
def test_a_block_goes_where_nothing_else_can(
    arguments: dict[str, Any], like: dict[str, Any], lost: dict[str, str], said: str, expected: dict[str, Any]
) -> None:
    assert placed(arguments, like, lost, said) == expected


@pytest.mark.parametrize(
    ("arguments", "like", "lost"),
    [
        ({"filePath": "a.py"}, schema("filePath", filePath=TEXT), {"CODE": "y"}),  # there is no place
        ({"filePath": "a.py"}, EDIT, {"BLOCK": "y"}),  # there are two
        (["a.py"], WRITE, {"CODE": "y"}),
        ({"kind": "a"}, schema("kind", kind={"type": "string", "enum": ["a", "b"]}), {"CODE": "y"}),
    ],
)
def test_what_is_not_clear_stays_as_it_was(arguments: Any, like: dict[str, Any], lost: dict[str, str]) -> None:
    assert placed(arguments, like, lost, "write a.py") is arguments
