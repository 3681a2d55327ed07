"""Where a block goes that a compiler has left out, as far as that is beyond doubt.

Small models choose the right tool and then write a text of their own where they should refer to a block. Its place can
be told from what is known: arguments whose values were spoken of are taken; of the others, the one that is named like
the block is its place, or the only one that the tool needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from programs.coercion import resolved
from programs.likeness import words_in

_A_TEXT = {"body", "code", "content", "contents", "data", "input", "script", "source", "text"}
_A_NAME = {"dir", "directory", "file", "folder", "id", "name", "path", "uri", "url"}


def placed(arguments: Any, schema: Mapping[str, Any], lost: Mapping[str, str], said: str) -> Any:
    """The arguments with every lost block in its place; as they were, where that is not clear.

    Args:
        arguments: of a call, as they were written.
        schema: what they should fit.
        lost: the blocks that are in none of them, by name.
        said: the intent, in words.
    """
    free = places(arguments, schema, said)
    if not free:
        return arguments
    required = resolved(schema, schema).get("required") or ()
    chosen: dict[str, str] = {}
    for block in lost:
        alike = [name for name in free if name not in chosen.values() and _alike(block, name)]
        if len(alike) == 1 or (alike and alike[0] in required):
            chosen[block] = alike[0]
    blocks = [block for block in lost if block not in chosen]
    names = [name for name in free if name not in chosen.values() and name in required]
    if len(blocks) == len(names):
        chosen |= dict(zip(blocks, names, strict=True))
    if len(chosen) < len(lost):
        return arguments
    return {**arguments, **{name: lost[block] for block, name in chosen.items()}}


def places(arguments: Any, schema: Mapping[str, Any], said: str) -> list[str]:
    """The arguments that may be any text, and whose values, if they have some, the intent does not speak of."""
    whole = resolved(schema, schema)
    properties = whole.get("properties") if isinstance(whole, Mapping) else None
    if not isinstance(arguments, dict) or not isinstance(properties, Mapping):
        return []
    return [
        name
        for name, part in properties.items()
        if _is_text(resolved(part, schema)) and not _spoken_of(arguments.get(name), said)
    ]


def _is_text(schema: Any) -> bool:
    """Whether it may be any text."""
    return (
        isinstance(schema, Mapping) and schema.get("type") == "string" and not {"enum", "const", "format"} & set(schema)
    )


def _spoken_of(value: Any, said: str) -> bool:
    """Whether a value was taken from the intent's words, and not made up."""
    return isinstance(value, str) and bool(value.strip()) and value.strip().lower() in said.lower()


def _alike(block: str, name: str) -> bool:
    """Whether an argument is named like a block: OLD and oldString, CODE and content."""
    these, those = set(words_in(block)), set(words_in(name))
    if those & _A_NAME and not those & _A_TEXT:
        return False
    return any(one.startswith(other) or other.startswith(one) for one in these for other in those) or bool(
        these & _A_TEXT and those & _A_TEXT
    )
