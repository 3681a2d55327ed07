"""Small repairs of arguments that lose nothing: `"5"` where an integer is asked for, one value where a list is.

Models that know what to call still slip in how they write it. Whatever is changed here says the same as before, and the
result is held against the schema like any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from programs.schemas import UnusableSchema, bounded, problem, step

_INTEGER = re.compile(r"[+-]?\d{1,300}")
_SAME = re.compile(r"[^a-z0-9]")
_DEEPEST = 32


def coerced(value: Any, schema: Any) -> Any:
    """`value`, brought closer to `schema` where that loses nothing. It need not fit afterwards.

    What fits is not changed.

    Args:
        value: a JSON value.
        schema: what it should fit.

    Raises:
        UnusableSchema: nothing can be held against it.
    """
    if problem(value, schema) is None:
        return value
    try:
        with bounded():
            return _coerced(value, schema, schema, 0)
    except UnusableSchema:
        return value


def _coerced(value: Any, schema: Any, root: Any, depth: int) -> Any:
    step()
    schema = resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return value
    if (choices := _branches(schema)) is not None:
        tries = (_coerced(value, choice, root, depth + 1) for choice in choices)
        return value if _fits(value, schema, root) else next((one for one in tries if _fits(one, schema, root)), value)
    value = _as_kind(value, schema)
    if isinstance(value, dict):
        return _object(value, schema, root, depth)
    if isinstance(value, list):
        # With `prefixItems`, and where `items` is a list, each item has a schema of its own.
        items = {} if "prefixItems" in schema else schema.get("items", {})
        return [_coerced(item, items, root, depth + 1) for item in value]
    return _as_choice(value, schema)


def resolved(schema: Any, root: Any) -> Any:
    """The schema that `schema` refers to within `root`, if it is a reference that can be followed; else itself."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(ref := schema.get("$ref"), str) and seen < _DEEPEST:
        target = _at(root, ref)
        if target is None:
            break
        schema, seen = target, seen + 1
    return schema


def _at(root: Any, ref: str) -> Any:
    if ref != "#" and not ref.startswith("#/"):
        return None
    found = root
    for part in ref.removeprefix("#").split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _branches(schema: Mapping[str, Any]) -> list[Any] | None:
    choices = schema.get("anyOf") or schema.get("oneOf")
    return choices if isinstance(choices, list) else None


def _fits(value: Any, schema: Any, root: Any) -> bool:
    return problem(value, schema, root) is None


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return [kind]
    return [name for name in kind if isinstance(name, str)] if isinstance(kind, list) else []


def _as_kind(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value as one of the kinds that the schema asks for."""
    kinds = _kinds(schema)
    if not kinds or _kind_of(value) in kinds or ("number" in kinds and _kind_of(value) == "integer"):
        return value
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if "integer" in kinds and _INTEGER.fullmatch(text):
            return int(text)
        if "number" in kinds and (number := _number(text)) is not None:
            return number
        if "boolean" in kinds and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if "null" in kinds and text.lower() in ("null", "none"):
            return None
        if {"object", "array"} & set(kinds) and (found := _json(text)) is not None and _kind_of(found) in kinds:
            return found
    if "array" in kinds and value is not None:
        return [value]
    if "string" in kinds and isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return value


def _kind_of(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "array"


def _number(text: str) -> float | int | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if number != number or number in (float("inf"), float("-inf")):  # noqa: PLR0124  (NaN is no JSON)
        return None
    return int(text) if _INTEGER.fullmatch(text) else number


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _as_choice(value: Any, schema: Mapping[str, Any]) -> Any:
    """The one of an enum's values that is written differently only in case or white space."""
    choices = schema.get("enum")
    if not isinstance(choices, list) or value in choices:
        return value
    alike = [choice for choice in choices if str(choice).strip().lower() == str(value).strip().lower()]
    return alike[0] if len(alike) == 1 else value


def _object(value: dict[str, Any], schema: Mapping[str, Any], root: Any, depth: int) -> dict[str, Any]:
    """Its properties under their right names; without a null, or an empty text, that no optional property may be."""
    known = schema.get("properties")
    if not isinstance(known, Mapping):
        return value
    required = schema.get("required") or ()
    named = {_plain(name): name for name in known}
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = key if key in known else named.get(_plain(key), key)
        if name != key and (name in value or name in result):
            name = key
        inner = known.get(name, {})
        fitted = _coerced(item, inner, root, depth + 1)
        if fitted is None and name in known and name not in required and not _fits(None, resolved(inner, root), root):
            continue
        result[name] = fitted
    return result


def _plain(name: str) -> str:
    """A name without what only spelling conventions differ in: `file_path` and `filePath`."""
    return _SAME.sub("", name.lower())
