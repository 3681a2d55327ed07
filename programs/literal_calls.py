"""Calls that a model has written out itself, in one of the notations that models are trained on.

Read are JSON objects with a name and arguments (alone, in a list, under `tool_calls`, in a fence, in `<tool_call>`),
and the two XML notations, `<function=NAME><parameter=KEY>` and `<invoke name="NAME"><parameter name="KEY">`. Also
`call NAME with {...}`, which is how a call that is known without its intent is told again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from programs.schemas import deeper_than

TAGS = {
    "<tool_call>": "</tool_call>",
    "<function_calls>": "</function_calls>",
    "<function_call>": "</function_call>",
    "<tools>": "</tools>",
    "<function=": "</function>",
    "<invoke ": "</invoke>",
}
"""What a call in XML begins and ends with."""

_NAMED = re.compile(r"call\s+`?([\w.:/-]+)`?\s+with\s+(?=\{)", re.IGNORECASE)
_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?(?:```|\Z)", re.DOTALL)
_FUNCTION = re.compile(
    r"<(?:function=|invoke\s+name=)\"?([\w.:/-]+)\"?\s*>(.*?)(?:</(?:function|invoke)>|\Z)", re.DOTALL
)
_PARAMETER = re.compile(
    r"<parameter(?:=|\s+name=)\"?([\w.:$-]+)\"?[^<>]{0,200}>\n?(.*?)\n?(?:</parameter>|(?=<parameter)|\Z)", re.DOTALL
)
_TAG = re.compile(r"</?(?:tool_call|function_calls|function_call|tools)>")
_DEEPEST = 64  # levels of JSON; nobody means what is nested deeper
_NAMES = ("name", "tool", "tool_name", "function_name")
_ARGUMENTS = ("arguments", "parameters", "args", "input")

type Call = tuple[str, Any]


def literal_calls(text: str) -> list[Call]:
    """The calls that `text` consists of, as (name, arguments); none where it is anything else.

    Arguments are what was written: an object most often, and not yet held against any schema.
    """
    text = text.strip()
    if named := _NAMED.match(text):
        value = _value(text[named.end() :])
        return [(named[1], value)] if isinstance(value, dict) else []
    if functions := list(_FUNCTION.finditer(text)):
        return [(found[1], _parameters(found[2])) for found in functions]
    if fenced := _FENCE.match(text):
        text = fenced[1]
    values = [_value(part) for part in _TAG.split(text) if part.strip()]
    calls = [call for value in values for call in _calls(value)]
    return calls if calls and all(value is not None for value in values) else []


def _value(text: str) -> Any:
    """The JSON that `text` begins with; what models leave behind it, such as one brace too many, is dropped."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text.strip())
    except (ValueError, RecursionError):
        return None
    rest = text.strip()[end:].strip()
    return value if not rest.strip("}]`;. \n") and not deeper_than(value, _DEEPEST) else None


def _calls(value: Any) -> Iterator[Call]:
    if isinstance(value, list):
        for item in value:
            yield from _calls(item)
    elif isinstance(value, Mapping):
        if isinstance(inner := value.get("tool_calls"), list):
            yield from _calls(inner)
        elif isinstance(function := value.get("function"), Mapping):
            yield from _calls(function)
        elif name := next((value[key] for key in _NAMES if isinstance(value.get(key), str)), None):
            arguments = next((value[key] for key in _ARGUMENTS if key in value), None)
            if isinstance(arguments, str):
                arguments = _value(arguments)
            if arguments is not None:
                yield name, arguments


def _parameters(body: str) -> Any:
    written = {found[1]: found[2] for found in _PARAMETER.finditer(body)}
    return written or _value(body) or {}
