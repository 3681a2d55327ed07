"""Verbatim blocks: told to the compiler by name, size and first line, and put in whole where it refers to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from programs.grammar import BLOCK

_SHOWN = 80  # characters of a first line


def reference(name: str) -> str:
    """How a compiler writes, and is told, that a block's text stands in some place."""
    return f'{{"{BLOCK}": "{name}"}}'


def told(blocks: Mapping[str, str]) -> str:
    """What a model that must not copy them is told of the blocks."""
    return "\n".join(f"{reference(name)}: {_described(text)}" for name, text in blocks.items())


def wanted(intent: str, blocks: Mapping[str, str]) -> str:
    """An intent as the compiler is told it, with what it is told of the blocks."""
    return f"Wanted: {intent}\n{told(blocks)}" if blocks else f"Wanted: {intent}"


def part_of(intent: str, conversation: str = "") -> str:
    """What was said before a part of an intent: the whole of it, too."""
    return f"{conversation}\nThis is a part of: {intent}".lstrip()


def _described(text: str) -> str:
    lines = text.splitlines()
    if not lines:
        return "empty"
    first = next((line.strip() for line in lines if line.strip()), "")
    first = first if len(first) <= _SHOWN else f"{first[:_SHOWN]} ..."
    return f"{len(lines)} {'line' if len(lines) == 1 else 'lines'}, begins with: {first}"


def spliced(value: Any, blocks: Mapping[str, str]) -> Any:
    """`value` with each reference to a block replaced by the block's text, byte for byte.

    A text that is nothing but a block's name stands for the block where nothing else refers to it.
    """
    if not blocks:
        return value
    referred = set(_references(value))
    return _placed(value, blocks, {name: text for name, text in blocks.items() if name not in referred})


def _placed(value: Any, blocks: Mapping[str, str], left: Mapping[str, str]) -> Any:
    if (name := _referred(value)) in blocks:
        return blocks[name]
    if isinstance(value, Mapping):
        return {key: _placed(item, blocks, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, blocks, left) for item in value]
    return left.get(_named(value), value) if isinstance(value, str) else value


def _references(value: Any) -> Iterator[str]:
    yield _referred(value)
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _references(item)


def unused(value: Any, blocks: Mapping[str, str]) -> list[str]:
    """The blocks whose text is nowhere in `value`. That one block holds another's text does not count."""
    texts = list(_texts(value))
    written = [text for text in texts if text not in blocks.values()]
    return [
        name for name, text in blocks.items() if text not in texts and not any(text and text in one for one in written)
    ]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _referred(value: Any) -> str:
    """The block that a value refers to: as an object, or as a text in which a model has written that."""
    if isinstance(value, Mapping):
        name = value.get(BLOCK) if len(value) == 1 else None
        return name if isinstance(name, str) else ""
    return _named(value) if isinstance(value, str) and value.lstrip("<{\"' ").startswith(BLOCK) else ""


def _named(text: str) -> str:
    """The block that a text names."""
    bare = text.strip().strip("<>{}\"' ").removeprefix(BLOCK).strip(":\"' ").removeprefix("block ")
    return bare.strip("`\"'$ ")
