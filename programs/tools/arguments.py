"""How a tool says what arguments it takes: small JSON Schemas. What has no length of its own is bounded generously."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_TEXT = 4_000_000
"""Characters of a file's content, an edit or a patch."""


def takes(required: Sequence[str] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with `properties` and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def text(description: str, most: int, least: int = 0) -> dict[str, Any]:
    """A text of `least` to `most` characters."""
    bounds = {"minLength": least} if least else {}
    return {"type": "string", "description": description, **bounds, "maxLength": most}


def path(description: str) -> dict[str, Any]:
    """The path of a file or a folder."""
    return text(description, 1024, 1)


def number(description: str, least: int, most: int) -> dict[str, Any]:
    """A whole number."""
    return {"type": "integer", "description": description, "minimum": least, "maximum": most}


def flag(description: str) -> dict[str, Any]:
    """Yes or no."""
    return {"type": "boolean", "description": description}


def listed(description: str, items: dict[str, Any], most: int, least: int = 1) -> dict[str, Any]:
    """A list of `least` to `most` items."""
    return {"type": "array", "description": description, "items": items, "minItems": least, "maxItems": most}
