"""The tools of a request, from the wire: what clients execute, and which of RANTS's own they ask for.

Source: https://platform.openai.com/docs/api-reference/chat/create (`tools`, `tool_choice`) and
https://platform.openai.com/docs/api-reference/responses/create (the same, flat).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from programs.errors import InvalidRequest
from programs.schemas import UnusableSchema, check, deeper_than
from programs.transcript import Tool, Tools

_NAME = re.compile(r"[a-zA-Z0-9_.:/-]{1,128}")
_MOST_TOOLS = 1024
_LONGEST_SCHEMA = 1 << 20  # bytes of JSON, of one tool
_DEEPEST = 64  # levels of one tool
_CHOICES = ("auto", "none", "required")


def read_tools(
    tools: Sequence[Mapping[str, Any]] | None,
    choice: str | Mapping[str, Any] | None,
    parallel: bool | None,
    *,
    gateway: Mapping[str, Tool] | None = None,
    always: Collection[str] = (),
) -> Tools:
    """The tools of a request, in the form of either API.

    Tools of kinds that are not known are accepted, and not offered to the model: clients send what only some servers
    have.

    Args:
        tools: as they were sent.
        choice: `tool_choice`.
        parallel: `parallel_tool_calls`.
        gateway: those of RANTS that may be asked for, by name.
        always: names of those that are offered also where none is asked for.

    Raises:
        InvalidRequest: a tool cannot be used, or the choice names none that is there; `param` says which.
    """
    listed = list(tools or ())
    count = sum(1 + len(inner) if isinstance(inner := item.get("tools"), list) else 1 for item in listed)
    if count > _MOST_TOOLS:
        raise InvalidRequest(f"tools has {count} items; send at most {_MOST_TOOLS}.", param="tools")
    if (deep := next((index for index, item in enumerate(listed) if deeper_than(item, _DEEPEST)), None)) is not None:
        raise InvalidRequest(f"tools[{deep}] is nested deeper than {_DEEPEST} levels.", param=f"tools[{deep}]")
    client = [tool for index, item in enumerate(listed) for tool in _client_tools(item, f"tools[{index}]")]
    named_so = Counter(tool.name for tool in client)
    if twice := next((name for name, times in named_so.items() if times > 1), None):
        raise InvalidRequest(f"tools names {twice!r} twice; give each tool a name of its own.", param="tools")
    ours = [tool for index, item in enumerate(listed) for tool in _gateway_tools(item, f"tools[{index}]", gateway)]
    ours = list({tool.name: tool for tool in ours}.values()) or [
        tool for name, tool in (gateway or {}).items() if name in always
    ]
    kind, named = _choice(choice)
    if isinstance(choice, Mapping) and (allowed := _allowed(choice)) is not None:
        client = [tool for tool in client if tool.name in allowed]
        ours = [tool for tool in ours if tool.name in allowed]
    offered = Tools(client=tuple(client), gateway=tuple(ours), choice=kind, named=named, parallel=parallel is not False)
    if kind == "required" and not offered.offered:
        raise InvalidRequest(
            "tool_choice insists on a call, and tools has none that can be called.", param="tool_choice"
        )
    if named is not None and named not in {tool.name for tool in offered.offered}:
        raise InvalidRequest(f"tool_choice names {named!r}, which is not in tools.", param="tool_choice")
    return offered


def _client_tools(item: Mapping[str, Any], param: str) -> Iterator[Tool]:
    kind = item.get("type", "function")
    if kind == "function":
        inner = item.get("function")
        yield _tool(inner, f"{param}.function") if isinstance(inner, Mapping) else _tool(item, param)
    elif kind == "namespace":
        for index, inner in enumerate(_list(item, "tools", param)):
            if isinstance(inner, Mapping) and inner.get("type", "function") == "function":
                tool = _tool(inner, f"{param}.tools[{index}]")
                yield tool.model_copy(update={"namespace": item.get("name")})


def _tool(item: Mapping[str, Any], param: str) -> Tool:
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{param}.name should be 1 to 128 letters, digits, dots, colons, slashes, dashes or underscores.",
            param=f"{param}.name",
        )
    parameters = item.get("parameters")
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    _check(parameters, f"{param}.parameters")
    return Tool(name=name, description=str(item.get("description") or ""), parameters=parameters)


def _check(schema: Any, param: str) -> None:
    """See that arguments can be held to a schema.

    Raises:
        InvalidRequest: they cannot.
    """
    if not isinstance(schema, Mapping):
        raise InvalidRequest(f"{param} should be a JSON Schema, an object.", param=param)
    if schema.get("type", "object") != "object":
        raise InvalidRequest(f"{param} should describe an object: arguments have names.", param=param)
    if len(json.dumps(schema)) > _LONGEST_SCHEMA:
        raise InvalidRequest(f"{param} is too large: at most {_LONGEST_SCHEMA} bytes.", param=param)
    try:
        check(schema)
    except UnusableSchema as error:
        raise InvalidRequest(f"{param} cannot be used: {error}.", param=param) from error


def _gateway_tools(item: Mapping[str, Any], param: str, gateway: Mapping[str, Tool] | None) -> Iterator[Tool]:
    """RANTS's own tools, asked for as an MCP server with the label `rants`; `allowed_tools` names some of them.

    Raises:
        InvalidRequest: one that is named is not there.
    """
    if item.get("type") != "mcp" or item.get("server_label") != "rants":
        return
    known = gateway or {}
    allowed = item.get("allowed_tools")
    names = list(known) if allowed is None else _list(item, "allowed_tools", param)
    for index, name in enumerate(names):
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(
                f"There is no gateway tool {name!r} here. There are: {', '.join(known) or 'none'}.",
                param=f"{param}.allowed_tools[{index}]",
            )
        yield known[name]


def _list(item: Mapping[str, Any], key: str, param: str) -> list[Any]:
    value = item.get(key)
    if not isinstance(value, list):
        raise InvalidRequest(f"{param}.{key} should be a list.", param=f"{param}.{key}")
    return value


def _choice(choice: str | Mapping[str, Any] | None) -> tuple[Any, str | None]:
    """The choice, and the function that it names."""
    if choice is None:
        return "auto", None
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise InvalidRequest(f"tool_choice should be one of {', '.join(_CHOICES)}.", param="tool_choice")
        return choice, None
    if _allowed(choice) is not None:
        return ("required" if choice.get("allowed_tools", choice).get("mode") == "required" else "auto"), None
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    if not isinstance(name, str):
        raise InvalidRequest("tool_choice names no function: give function.name.", param="tool_choice")
    return "required", name


def _allowed(choice: Mapping[str, Any]) -> set[str] | None:
    """The names that a choice of the type `allowed_tools` allows; None where it is of another."""
    if choice.get("type") != "allowed_tools":
        return None
    inner = choice.get("allowed_tools", choice)
    if not isinstance(inner, Mapping) or not isinstance(tools := inner.get("tools"), list):
        raise InvalidRequest("tool_choice.tools should be a list of tools.", param="tool_choice")
    named = [tool.get("function", tool) for tool in tools if isinstance(tool, Mapping)]
    return {str(tool.get("name")) for tool in named if isinstance(tool, Mapping)}
