"""The JSON Schema that a compiler's reply is held to while it is decoded.

Backends that can be held to a schema know a part of JSON Schema each, and refuse the rest. So what is sent is the part
that all of them know, references written out; it may allow more than the tools' own schemas, which the calls are held
against afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from programs.coercion import resolved
from programs.transcript import Tool

BLOCK = "$block"
"""The key of an object that stands for a verbatim block, by its name."""

_DEPTHS = (6, 3, 1)  # levels of a schema; what lies deeper may be any JSON
_MOST_PARTS = 1000  # of one tool's schema
_MOST_ITEMS = 64
MOST_CALLS = 16
_MOST_CHOICES = 200
_LARGEST = 2**53  # a whole number that every backend can hold
_FORMATS = ("date", "time", "date-time")
_SIMPLE = re.compile(r"\^(?:\\d|\[[\w\- ]+\]|[\w\- ])(?:\\d|\[[\w\- ]+\]|[\w\- +*?]|\{\d{1,3}(?:,\d{1,3})?\})*\$")


def calls_schema(
    tools: Iterable[Tool],
    blocks: Iterable[str],
    *,
    required: bool,
    most: int = MOST_CALLS,
    longest: int = 2000,
) -> dict[str, Any]:
    """The schema of `{"tool_calls": [{"name": ..., "arguments": {...}}]}` over `tools`.

    Args:
        tools: what may be called.
        blocks: names of the verbatim blocks that a text may be.
        required: there must be calls.
        most: calls.
        longest: characters of a text, where its schema does not say less: a model that does not stop is stopped.
    """
    names = list(blocks)
    choices = [_call(tool, names, longest) for tool in tools]
    calls: dict[str, Any] = {
        "type": "array",
        "items": choices[0] if len(choices) == 1 else {"anyOf": choices},
        "minItems": int(required),
        "maxItems": most,
    }
    return _closed({"tool_calls": calls}, ["tool_calls"])


def parts_schema(longest: int, most: int) -> dict[str, Any]:
    """The schema of `{"parts": ["...", "..."]}`; `longest`: characters of a part; `most`: parts."""
    part = {"type": "string", "minLength": 1, "maxLength": longest}
    return _closed({"parts": {"type": "array", "items": part, "minItems": 1, "maxItems": most}}, ["parts"])


def _call(tool: Tool, blocks: list[str], longest: int) -> dict[str, Any]:
    """One call of a tool. Where a schema branches so much that it is too large in full, it is told less deeply."""
    for deepest in _DEPTHS:
        try:
            arguments = _Part(tool.parameters, blocks, deepest, longest).decodable(tool.parameters, 0)
            break
        except _TooLarge:
            continue
    else:
        arguments = {}
    if arguments.get("type") != "object":
        arguments = {"type": "object"}
    return _closed({"name": {"const": tool.name}, "arguments": arguments}, ["name", "arguments"])


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class _TooLarge(Exception):
    """A schema is too large to be written out."""


class _Part:
    """The part of a tool's schema that every backend knows. `{}` is any JSON."""

    def __init__(self, root: Any, blocks: list[str], deepest: int, longest: int) -> None:
        self._root = root
        self._blocks = blocks
        self._deepest = deepest
        self._longest = longest
        self._left = _MOST_PARTS

    def decodable(self, schema: Any, depth: int) -> dict[str, Any]:
        """What of `schema` is kept.

        Raises:
            _TooLarge: it has too many parts.
        """
        self._left -= 1
        if self._left < 0:
            raise _TooLarge
        schema = self._whole(schema)
        if not isinstance(schema, Mapping) or depth > self._deepest or "$ref" in schema:
            return {}
        if "const" in schema:
            return {"const": schema["const"]}
        if isinstance(values := schema.get("enum"), list) and values:
            if len(values) <= _MOST_CHOICES:
                return {"enum": values}
            schema = {key: value for key, value in schema.items() if key != "enum"}
        if isinstance(choices := schema.get("anyOf") or schema.get("oneOf"), list):
            shared = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
            return _any_of([self.decodable(self._merged(shared, [choice]), depth + 1) for choice in choices])
        if isinstance(parts := schema.get("allOf"), list):
            shared = {key: value for key, value in schema.items() if key != "allOf"}
            return self.decodable(self._merged(shared, parts), depth + 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            return _any_of([self.decodable({**schema, "type": one}, depth + 1) for one in kind])
        match kind:
            case "string":
                return self._text(schema)
            case "integer" | "number" | "boolean" | "null":
                return {"type": kind} | _bounds(schema, "minimum", "maximum")
            case "array":
                # With `prefixItems`, each of the first items has a schema of its own.
                items = {} if "prefixItems" in schema else self.decodable(schema.get("items", {}), depth + 1)
                return {"type": "array", "items": items} | _sizes(schema, "Items", _MOST_ITEMS)
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        return {}

    def _whole(self, schema: Any) -> Any:
        """The schema with what it refers to in the place of a reference."""
        found = resolved(schema, self._root)
        beside = schema if found is not schema and isinstance(schema, Mapping) else {}
        shared = {key: value for key, value in beside.items() if key not in ("$ref", "$defs", "definitions")}
        return self._merged(shared, [found]) if shared else found

    def _text(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """A text; or a block, where it may be anything."""
        if schema.get("format") in _FORMATS:
            return {"type": "string", "format": schema["format"]}
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and _SIMPLE.fullmatch(pattern):
            # llama.cpp knows no escapes.
            return {"type": "string", "pattern": pattern.replace(r"\d", "[0-9]")}
        text = {"type": "string"} | _sizes(schema, "Length", self._longest)
        if not self._blocks:
            return text
        return {"anyOf": [text, _closed({BLOCK: {"enum": self._blocks}}, [BLOCK])]}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        known, more = schema.get("properties"), schema.get("additionalProperties")
        named = dict(known) if isinstance(known, Mapping) else {}
        required = [name for name in dict.fromkeys(schema.get("required") or ()) if isinstance(name, str)]
        named |= {name: {} for name in required if name not in named}
        if not named or "patternProperties" in schema:
            return {"type": "object"}
        properties = {name: self.decodable(inner, depth + 1) for name, inner in named.items()}
        kept = _closed(properties, required)
        if isinstance(more, Mapping) and more:
            kept["additionalProperties"] = self.decodable(more, depth + 1)
        return kept

    def _merged(self, schema: Mapping[str, Any], parts: list[Any]) -> dict[str, Any]:
        """A schema and others that hold beside it as one, as far as they are plain."""
        merged: dict[str, Any] = dict(schema)
        for part in parts:
            found = resolved(part, self._root)
            if isinstance(found, Mapping):
                properties = {**merged.get("properties", {}), **found.get("properties", {})}
                required = [*merged.get("required", ()), *found.get("required", ())]
                merged = {**merged, **found}
                if properties:
                    merged |= {"properties": properties, "required": required}
        return merged


def _any_of(choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {} if {} in choices else {"anyOf": choices}


def _bounds(schema: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    found = {key: schema[key] for key in keys if isinstance(schema.get(key), int)}
    return {key: bound for key, bound in found.items() if abs(bound) < _LARGEST}


def _sizes(schema: Mapping[str, Any], what: str, most: int) -> dict[str, Any]:
    """The least and the most, which no backend should have to count far for."""
    found = _bounds(schema, f"min{what}", f"max{what}")
    least = found.get(f"min{what}", 0)
    if least > most:
        return {}
    kept = {f"max{what}": max(least, min(most, found.get(f"max{what}", most)))}
    return kept | ({f"min{what}": least} if least else {})
