"""Whether calls are right, by the rule of the Berkeley Function Calling Leaderboard (its AST evaluation).

Source: https://gorilla.cs.berkeley.edu/blogs/8_berkeley_function_calling_leaderboard.html. A call is right that names
the function and gives each argument one of its accepted values, no argument that is not accepted, and leaves none out
that may not be absent. Texts are compared without regard to case, spaces and `,./-_*^`; lists item by item; objects by
the accepted values of each key. An integer will do where a number is asked for, but `2.0` is no integer. Several calls
may come in any order. Where no function serves, it is right to call none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evals.tools.cases import Case, Wanted
from programs.schemas import problem
from programs.transcript import Tool, ToolCall

_IGNORED = re.compile(r"[ ,./\-_*^]")
_ABSENT = ""


def why_wrong(case: Case, calls: Sequence[ToolCall]) -> str | None:
    """In what `calls` differ from what is right; None where they are right."""
    if len(calls) != len(case.gold):
        return f"{len(calls)} calls instead of {len(case.gold)}"
    left = list(calls)
    for wanted in case.gold:
        reasons = [_why_wrong(case, wanted, call) for call in left]
        if None not in reasons:
            # Of several calls, the one that was probably meant tells best what is wrong.
            alike = [reason for call, reason in zip(left, reasons, strict=True) if call.name == wanted.name]
            return (alike or reasons)[0]
        del left[reasons.index(None)]
    return None


def why_invalid(case: Case, calls: Sequence[ToolCall]) -> str | None:
    """Which call does not fit the schema of its tool, and why; None where all do, as no call at all does."""
    for call in calls:
        if (tool := case.tool(call.name)) is None:
            return f"there is no tool {call.name!r}"
        if (arguments := _arguments(call)) is None:
            return f"{call.name}: the arguments are no JSON object"
        if reason := problem(arguments, tool.parameters):
            return f"{call.name}: {reason}"
    return None


def _arguments(call: ToolCall) -> dict[str, Any] | None:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


def _why_wrong(case: Case, wanted: Wanted, call: ToolCall) -> str | None:
    if call.name != wanted.name:
        return f"calls {call.name} instead of {wanted.name}"
    arguments = _arguments(call)
    if arguments is None:
        return f"{call.name}: the arguments are no JSON object"
    tool = case.tool(wanted.name)
    assert tool is not None  # the case has seen to it
    if missing := [name for name in _required(tool) if name not in arguments]:
        return f"{call.name}: {missing[0]} is missing"
    for name, value in arguments.items():
        if name not in wanted.accepted:
            return f"{call.name}: {name} is not asked for"
        if not _accepted(value, wanted.accepted[name], _kind(tool, name)):
            return f"{call.name}: {name} is {_short(value)}, not {_short(wanted.accepted[name])}"
    for name, accepted in wanted.accepted.items():
        if name not in arguments and _ABSENT not in accepted:
            return f"{call.name}: {name} is missing"
    return None


def _required(tool: Tool) -> Sequence[str]:
    return tool.parameters.get("required") or ()


def _kind(tool: Tool, name: str) -> Any:
    inner = (tool.parameters.get("properties") or {}).get(name)
    return inner.get("type") if isinstance(inner, Mapping) else None


def _accepted(value: Any, accepted: Sequence[Any], kind: Any = None) -> bool:
    return any(_same(value, one, kind) for one in accepted)


def _same(value: Any, accepted: Any, kind: Any = None) -> bool:
    """Whether `value` says what `accepted` says; `kind` is the type that the schema names, where it does."""
    match value, accepted:
        case str(), str():
            return _plain(value) == _plain(accepted)
        case (bool(), _) | (_, bool()):
            return value is accepted
        case int() | float(), int() | float():
            return value == accepted and not (kind == "integer" and isinstance(value, float))
        case list(), list():
            return len(value) == len(accepted) and all(map(_same, value, accepted))
        case dict(), dict():
            known = all(key in accepted and _accepted(item, accepted[key]) for key, item in value.items())
            return known and all(key in value or _ABSENT in items for key, items in accepted.items())
    return value is None and accepted is None


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]} ..."
