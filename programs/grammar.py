"""The JSON Schema that a compiler's reply is held to while it is decoded.

Backends that can be held to a schema know a part of JSON Schema each, and refuse the rest. So what is sent is the part
that all of them know, references written out; it may allow more than the tools' own schemas, which the calls are held
against afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from programs.coercion import resolved
from programs.transcript import Tool

BLOCK = "$block"
"""The key of an object that stands for a verbatim block, by its name."""

_DEEPEST = 6  # levels of a schema; what lies deeper may be any JSON
_MOST_ITEMS = 64
MOST_CALLS = 16
_MOST_CHOICES = 200
_KEPT = ("minItems", "minLength", "minimum", "maximum")
_FORMATS = ("date", "time", "date-time")
_SIMPLE = re.compile(r"\^(?:\\d|\[[\w\- ]+\]|[\w\- ])(?:\\d|\[[\w\- ]+\]|[\w\- +*?]|\{\d+(?:,\d+)?\})*\$")


@dataclass(frozen=True, slots=True)
class _Texts:
    """What a text may be: one of the blocks, or no longer than so many characters."""

    blocks: list[str]
    longest: int


def calls_schema(
    tools: Iterable[Tool],
    blocks: Iterable[str],
    *,
    required: bool,
    longest: int,
    least: int = 1,
    most: int = MOST_CALLS,
) -> dict[str, Any]:
    """The schema of `{"tool_calls": [{"name": ..., "arguments": {...}}]}` over `tools`.

    Args:
        tools: what may be called.
        blocks: names of the verbatim blocks that a text may be.
        required: there must be calls.
        longest: characters of a text: a model that does not stop is stopped.
        least: calls, if there are any.
        most: calls.
    """
    texts = _Texts(list(blocks), longest)
    choices = [_call(tool, texts) for tool in tools]
    calls: dict[str, Any] = {
        "type": "array",
        "items": choices[0] if len(choices) == 1 else {"anyOf": choices},
        "minItems": least if required or least > 1 else 0,
        "maxItems": most,
    }
    if least > 1 and not required:
        calls = {"anyOf": [calls, {"type": "array", "maxItems": 0}]}
    return _closed({"tool_calls": calls}, ["tool_calls"])


def parts_schema(longest: int) -> dict[str, Any]:
    """The schema of `{"parts": ["...", "..."]}`; `longest`: characters of a part."""
    part = {"type": "string", "minLength": 1, "maxLength": longest}
    return _closed({"parts": {"type": "array", "items": part, "minItems": 1, "maxItems": MOST_CALLS}}, ["parts"])


def _call(tool: Tool, texts: _Texts) -> dict[str, Any]:
    arguments = _decodable(tool.parameters, tool.parameters, texts, 0)
    if arguments.get("type") != "object":
        arguments = {"type": "object"}
    return _closed({"name": {"const": tool.name}, "arguments": arguments}, ["name", "arguments"])


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _decodable(schema: Any, root: Any, texts: _Texts, depth: int) -> dict[str, Any]:
    """The part of a schema that every backend knows. `{}` is any JSON."""
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST or "$ref" in schema:
        return {}
    if "const" in schema:
        return {"const": schema["const"]}
    if isinstance(values := schema.get("enum"), list) and values:
        return {"enum": values} if len(values) <= _MOST_CHOICES else _text(schema, _Texts([], texts.longest))
    if isinstance(choices := schema.get("anyOf") or schema.get("oneOf"), list):
        return _any_of([_decodable(choice, root, texts, depth + 1) for choice in choices])
    if isinstance(parts := schema.get("allOf"), list):
        return _decodable(_merged(schema, parts, root), root, texts, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        return _any_of([_decodable({**schema, "type": one}, root, texts, depth + 1) for one in kind])
    match kind:
        case "string":
            return _text(schema, texts)
        case "integer" | "number" | "boolean" | "null":
            return {"type": kind} | _bounds(schema)
        case "array":
            items = _decodable(schema.get("items", {}), root, texts, depth + 1)
            most = schema.get("maxItems")
            return {"type": "array", "items": items, "maxItems": most if isinstance(most, int) else _MOST_ITEMS} | (
                _bounds(schema)
            )
    if kind == "object" or "properties" in schema:
        return _object(schema, root, texts, depth)
    return {}


def _any_of(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {} if {} in choices else {"anyOf": choices}


def _bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in _KEPT if isinstance(schema.get(key), int)}


def _text(schema: Mapping[str, Any], texts: _Texts) -> dict[str, Any]:
    """A text; or a block, where it may be anything."""
    if schema.get("format") in _FORMATS:
        return {"type": "string", "format": schema["format"]}
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and _SIMPLE.fullmatch(pattern):
        return {"type": "string", "pattern": pattern}
    longest = schema.get("maxLength")
    text = {"type": "string", "maxLength": min(longest, texts.longest) if isinstance(longest, int) else texts.longest}
    if not texts.blocks:
        return text
    return {"anyOf": [text, _closed({BLOCK: {"enum": texts.blocks}}, [BLOCK])]}


def _object(schema: Mapping[str, Any], root: Any, texts: _Texts, depth: int) -> dict[str, Any]:
    known = schema.get("properties")
    if not isinstance(known, Mapping) or not known:
        return {"type": "object"}
    required = [name for name in schema.get("required") or () if name in known]
    properties = {name: _decodable(inner, root, texts, depth + 1) for name, inner in known.items()}
    return _closed(properties, required)


def _merged(schema: Mapping[str, Any], parts: list[Any], root: Any) -> dict[str, Any]:
    """The parts of an `allOf` as one schema, as far as they are plain."""
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        found = resolved(part, root)
        if isinstance(found, Mapping):
            properties = {**merged.get("properties", {}), **found.get("properties", {})}
            required = [*merged.get("required", ()), *found.get("required", ())]
            merged = {**merged, **found}
            if properties:
                merged |= {"properties": properties, "required": required}
    return merged
