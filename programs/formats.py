"""An answer as text, and whether a text fits the format that the client asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from programs.schemas import UnusableSchema, check, problem


def as_text(value: Any) -> str:
    """A value as the text that is read: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def misfit(text: str, response_format: Mapping[str, Any] | None) -> str | None:
    """Why `text` does not fit `response_format`, an object of chat completions; None where it does."""
    if response_format is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    except RecursionError:
        return "it is nested too deeply"
    if response_format["type"] == "json_object":
        return None if isinstance(value, dict) else "it is not a JSON object"
    schema = response_format["json_schema"]["schema"]
    try:
        check(schema)
        return problem(value, schema)
    except UnusableSchema:
        return None  # nothing can be held to it, and a run that has an answer does not fail
