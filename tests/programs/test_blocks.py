"""Blocks reach a call byte for byte; what only looks like one is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from programs.blocks import spliced, told, unused

EXACT = '\tdef é():\r\n    return \'\'\'<<<\'\'\'\n>>>OTHER\n\n  """x""" \u2028\x01\x7f {"$block": "NEW"} '
BLOCKS = {"OLD": EXACT, "NEW": "new\r\n"}


@pytest.mark.parametrize(
    "reference",
    [
        {"$block": "OLD"},
        '{"$block": "OLD"}',
        "{'$block': 'OLD'}",
        "$block: OLD",
        "$block OLD",
        "OLD",
        "<<<OLD>>>",
        "block OLD",
        "`OLD`",
        " OLD\n",
    ],
    ids=str,
)
def test_a_reference_is_replaced_by_the_block_s_bytes(reference: Any) -> None:
    assert spliced({"a": [reference], "b": 1}, BLOCKS) == {"a": [EXACT], "b": 1}


@pytest.mark.parametrize(
    "value",
    [
        "the block OLD",
        "OLDER",
        "old",
        "see $block",
        '{"$block": "OTHER"}',
        {"$block": "OTHER"},
        {"OLD": "a"},
        "",
        None,
        1,
    ],
    ids=str,
)
def test_what_is_no_reference_stays(value: Any) -> None:
    assert spliced({"a": value}, BLOCKS) == {"a": value}
    assert spliced(value, {}) == value


def test_a_word_that_is_also_a_block_s_name_stays_where_the_block_is_referred_to() -> None:
    value = {"path": "NEW", "content": {"$block": "NEW"}, "other": "OLD"}
    assert spliced(value, BLOCKS) == {"path": "NEW", "content": "new\r\n", "other": EXACT}


def test_what_a_block_says_is_not_read_again() -> None:
    assert spliced({"a": {"$block": "A"}}, {"A": "B", "B": "A"}) == {"a": "B"}


def test_blocks_that_are_in_no_argument_are_named() -> None:
    assert unused([{"a": EXACT}], BLOCKS) == ["NEW"]
    assert unused([{"a": [{"b": f"before {EXACT} after new\r\n"}]}], BLOCKS) == []
    assert unused([], {"EMPTY": ""}) == ["EMPTY"]
    assert unused([{"a": ""}], {"EMPTY": ""}) == []


def test_blocks_are_told_by_name_size_and_first_line() -> None:
    lines = told({"A": "\n  one\ntwo\n", "B": "", "C": "x" * 500}).splitlines()
    assert lines[0] == '{"$block": "A"}: 3 lines, begins with: one'
    assert lines[1] == '{"$block": "B"}: empty'
    assert len(lines[2]) < 150
