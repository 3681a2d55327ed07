"""Verbatim blocks: told to the compiler by name, size and first line, and put in whole where it refers to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from programs.grammar import BLOCK

_SHOWN = 80  # characters of a first line


def told(blocks: Mapping[str, str]) -> str:
    """What a model that must not copy them is told of the blocks."""
    return "\n".join(f'{{"{BLOCK}": "{name}"}}: {_described(text)}' for name, text in blocks.items())


def wanted(intent: str, blocks: Mapping[str, str]) -> str:
    """An intent as the compiler is told it, with what it is told of the blocks."""
    return f"Wanted: {intent}\n{told(blocks)}" if blocks else f"Wanted: {intent}"


def _described(text: str) -> str:
    lines = text.splitlines()
    if not lines:
        return "empty"
    first = next((line.strip() for line in lines if line.strip()), "")
    first = first if len(first) <= _SHOWN else f"{first[:_SHOWN]} ..."
    return f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}, begins with: {first}"


def spliced(value: Any, blocks: Mapping[str, str]) -> Any:
    """`value` with each reference to a block replaced by the block's text, byte for byte."""
    if not blocks:
        return value
    if isinstance(value, Mapping):
        if (name := _referred(value)) in blocks:
            return blocks[name]
        return {key: spliced(item, blocks) for key, item in value.items()}
    if isinstance(value, list):
        return [spliced(item, blocks) for item in value]
    if isinstance(value, str) and (name := _named(value)) in blocks:
        return blocks[name]
    return value


def unused(value: Any, blocks: Mapping[str, str]) -> list[str]:
    """The blocks whose text is nowhere in `value`."""
    texts = list(_texts(value))
    return [name for name, text in blocks.items() if text not in texts and not any(text in other for other in texts)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _referred(value: Mapping[str, Any]) -> str:
    name = value.get(BLOCK) if len(value) == 1 else None
    return name if isinstance(name, str) else ""


def _named(text: str) -> str:
    """The block that a text stands for, where a model has written the reference as text."""
    bare = text.strip().strip("<>{}\"' ").removeprefix(BLOCK).strip(":\"' ").removeprefix("block ")
    return bare.strip("`\"'$ ")
