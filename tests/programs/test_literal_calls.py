"""Calls that models write out themselves, in every notation, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from programs.literal_calls import literal_calls

LOOK = ("look", {"path": "a"})
CALL = '{"name": "look", "arguments": {"path": "a"}}'


@pytest.mark.parametrize(
    "written",
    [
        CALL,
        f"  {CALL}\n",
        f"[{CALL}]",
        f'{{"tool_calls": [{CALL}]}}',
        '{"tool_calls": [{"id": "x", "type": "function", "function": ' + CALL + "}]}",
        '{"function": {"name": "look", "arguments": "{\\"path\\": \\"a\\"}"}}',
        '{"name": "look", "parameters": {"path": "a"}}',
        '{"tool": "look", "args": {"path": "a"}}',
        '{"tool_name": "look", "input": {"path": "a"}}',
        f"```json\n{CALL}\n```",
        f"```tool_call\r\n{CALL}\r\n```",
        f"```\n{CALL}",
        f"<tool_call>{CALL}</tool_call>",
        f"<tool_call>\n{CALL}\n",
        f"<function_calls>[{CALL}]</function_calls>",
        "<function=look><parameter=path>a</parameter></function>",
        "<function=look>\n<parameter=path>\na\n</parameter>\n</function>",
        "<function=look><parameter=path>a",
        '<function=look>{"path": "a"}</function>',
        '<invoke name="look"><parameter name="path">a</parameter></invoke>',
        'call look with {"path": "a"}',
        'Call `look` with {"path": "a"}.',
        CALL + "}",
        CALL + "\n```",
    ],
)
def test_each_notation_is_read(written: str) -> None:
    assert literal_calls(written) == [LOOK]


def test_several_calls_are_read_in_order() -> None:
    other = CALL.replace('"a"', '"b"')
    both = [LOOK, ("look", {"path": "b"})]
    assert literal_calls(f"[{CALL}, {other}]") == both
    assert literal_calls(f"<tool_call>{CALL}</tool_call>\n<tool_call>{other}</tool_call>") == both
    assert literal_calls("<function=look><parameter=path>a</parameter></function>" * 2) == [LOOK, LOOK]


def test_line_breaks_in_json_text_and_within_parameters_are_kept() -> None:
    assert literal_calls('{"name": "w", "arguments": {"a": "x\n\ty"}}') == [("w", {"a": "x\n\ty"})]
    written = "<function=w><parameter=a>\n  x\r\n\ty\n\n</parameter><parameter=b>1</parameter></function>"
    assert literal_calls(written) == [("w", {"a": "  x\r\n\ty\n", "b": "1"})]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "look at a",
        "{}",
        "[]",
        '{"path": "a"}',
        '{"name": "look"}',
        '{"name": 5, "arguments": {}}',
        '{"name": "look", "arguments": {"path": "a"',
        f"I call {CALL}",
        f"{CALL} and then some",
        "call look with a",
        "call look with [1]",
        "<tool_call></tool_call>",
        "<tool_call>look at a</tool_call>",
        "```python\nprint(1)\n```",
        '{"tool_calls": 5}',
        "null",
        "1" * 5000,
    ],
    ids=lambda written: written[:40],
)
def test_what_is_no_call_is_none(written: str) -> None:
    assert literal_calls(written) == []


@pytest.mark.parametrize(
    "written",
    [
        "[" * 100_000,
        "[" * 3000 + "]" * 3000,
        '{"name": "look", "arguments": {"path": ' + "[" * 3000 + "]" * 3000 + "}}",
        '{"name": "look", "arguments": ' + '{"a": ' * 1000 + "1" + "}" * 1001,
        "<function=look>" + "<parameter=a" * 20_000,
        "<function=" * 20_000,
        "<tool_call>" * 20_000,
        "```" * 20_000,
        '{"tool_calls": [' * 1000 + "]}" * 1000,
    ],
    ids=lambda written: written[:30],
)
def test_what_never_ends_is_read_in_no_time(written: str) -> None:
    found: list[tuple[str, Any]] = literal_calls(written)
    assert all(arguments in ({}, []) or isinstance(arguments, dict) for _, arguments in found)
    assert len(str(found)) < 1000
