"""Calls that a model wrote become calls that fit, or a problem in words; never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from programs.fitting import Misfit, fitted
from programs.transcript import Tool

TEXT = {"type": "string"}
WRITE = Tool(
    name="write",
    parameters={
        "type": "object",
        "properties": {"filePath": TEXT, "content": TEXT, "mode": {"type": "integer"}},
        "required": ["filePath", "content"],
        "additionalProperties": False,
    },
)
LOOK = Tool(name="look-up", parameters={"type": "object"}, namespace="files")
ANY = Tool(name="anything")
TOOLS = (WRITE, LOOK, ANY)


def one(name: str, arguments: Any, **blocks: str) -> dict[str, Any]:
    (call,) = fitted([(name, arguments)], TOOLS, blocks)
    said: dict[str, Any] = json.loads(call.arguments)
    return said


@pytest.mark.parametrize(
    "content",
    [
        "a\r\nb\r\n",
        "\t'''\"\"\"<<<\n>>>X",
        "é\N{PILE OF POO}\u2028\u2029\x85",
        "\x01\x1b[0m\x7f\ufeff",
        "",
        " \n ",
        "\\n\\u0000",
    ],
    ids=repr,
)
def test_blocks_arrive_byte_for_byte(content: str) -> None:
    written = {"filePath": "a", "content": {"$block": "X"}}
    assert one("write", written, X=content) == {"filePath": "a", "content": content}


def test_a_block_is_lost_in_no_call() -> None:
    with pytest.raises(Misfit, match=r'The text of \{"\$block": "Y"\} is in none of the arguments'):
        one("write", {"filePath": "a", "content": {"$block": "X"}}, X="x", Y="yy")


def test_a_block_that_is_not_there_does_not_fit() -> None:
    with pytest.raises(Misfit, match=r"\$\.content"):
        one("write", {"filePath": "a", "content": {"$block": "Z"}}, X="x")


@pytest.mark.parametrize("name", ["write", "Write", "functions.write", "WRITE"])
def test_a_tool_is_known_by_its_name_however_it_is_written(name: str) -> None:
    (call,) = fitted([(name, {"file_path": "a", "content": 5, "mode": "3"})], TOOLS, {})
    assert (call.name, json.loads(call.arguments)) == ("write", {"filePath": "a", "content": "5", "mode": 3})


def test_a_call_carries_its_tool_s_namespace_and_an_id_of_its_own() -> None:
    calls = fitted([("look_up", {"a": 1}), ("look-up", {"a": 2})], TOOLS, {})
    assert [(call.name, call.namespace) for call in calls] == [("look-up", "files")] * 2
    assert len({call.id for call in calls}) == 2


def test_calls_that_say_the_same_are_one() -> None:
    calls = fitted([("anything", {"a": 1}), ("Anything", {"a": 1}), ("anything", {"a": 2})], TOOLS, {})
    assert [json.loads(call.arguments)["a"] for call in calls] == [1, 2]


@pytest.mark.parametrize("arguments", [None, {}])
def test_no_arguments_are_none(arguments: Any) -> None:
    assert one("anything", arguments) == {}


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("rm", {}, "There is no tool 'rm'. There are: write, look-up, anything."),
        ("", {}, "There is no tool ''"),
        ("x" * 1000, {}, "There is no tool 'xxx"),
        ("write", {"filePath": "a"}, "'content' is a required property"),
        ("write", {"filePath": "a", "content": "b", "rights": 7}, "'rights' unexpected"),
        ("write", [1], "the arguments are no object"),
        ("write", "text", "the arguments are no object"),
        ("anything", {"a": float("nan")}, "NaN and Infinity are no JSON"),
        ("anything", {"a": float("-inf")}, "NaN and Infinity are no JSON"),
        ("anything", {"a": "\ud800"}, "half of a surrogate pair is no text"),
        ("anything", {"\udfff": 1}, "half of a surrogate pair is no text"),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)
def test_what_does_not_fit_is_told_in_words(name: str, arguments: Any, why: str) -> None:
    with pytest.raises(Misfit) as misfit:
        fitted([(name, arguments)], TOOLS, {})
    assert why in str(misfit.value)
    assert len(str(misfit.value)) < 1000


def test_a_whole_pair_of_surrogates_is_a_character() -> None:
    assert one("anything", json.loads('{"a": "\\ud83d\\ude00"}')) == {"a": "\N{GRINNING FACE}"}


def test_two_tools_that_could_be_meant_are_none() -> None:
    tools = [Tool(name="a.look"), Tool(name="b.look")]
    with pytest.raises(Misfit, match=r"There are: a\.look, b\.look"):
        fitted([("look", {})], tools, {})
    assert fitted([("b.look", {})], tools, {})[0].name == "b.look"


def test_one_call_that_does_not_fit_spoils_the_others() -> None:
    with pytest.raises(Misfit):
        fitted([("anything", {}), ("write", {})], TOOLS, {})


def test_calls_are_not_without_number() -> None:
    assert len(fitted([("anything", {"n": n}) for n in range(64)], TOOLS, {})) == 64
    with pytest.raises(Misfit, match="There are 65 calls"):
        fitted([("anything", {"n": n}) for n in range(65)], TOOLS, {})


def test_of_a_thousand_tools_not_all_are_named() -> None:
    with pytest.raises(Misfit) as misfit:
        fitted([("rm", {})], [Tool(name=f"tool_{n}") for n in range(1000)], {})
    assert len(str(misfit.value)) < 1000
    assert str(misfit.value).endswith("tool_49, ....")


def test_a_schema_that_cannot_be_used_is_a_problem_in_words() -> None:
    tool = Tool(name="odd", parameters={"type": "object", "properties": {"a": {"$ref": "#/nothing"}}})
    with pytest.raises(Misfit, match="its schema cannot be used: it refers to"):
        fitted([("odd", {"a": 1})], [tool], {})
