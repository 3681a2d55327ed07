"""What a message says, in the JSON that it is kept as: found and read without reading all of it.

`Message.said()` writes the role first and then the content, if there is any. In it every quote, backslash and control
character is escaped, and nothing else is.
"""

from __future__ import annotations

import json
import re

from pydantic_core import to_json

HEAD = 64
"""The role and the beginning of the content are within so many bytes."""

_HEAD = re.compile(rb'\{"role":"(\w+)"(?:,"content":("))?')
_LONGEST = 6  # bytes of an escape
_BACKSLASH = ord("\\")
_CHARACTER = ((0xC0, 2), (0xE0, 3), (0xF0, 4))  # a first byte from there on has so many


def role(head: bytes) -> str:
    """Give the role of a message that begins like this."""
    return _begun(head)[1].decode()


def start(head: bytes) -> int | None:
    """Find where the content begins; None where nothing is said."""
    begun = _begun(head)
    return begun.end() if begun[2] else None


def _begun(head: bytes) -> re.Match[bytes]:
    begun = _HEAD.match(head)
    assert begun is not None  # noqa: S101
    return begun


def broken(piece: bytes, end: int | None = None) -> int:
    """Count the bytes before `end` that begin a character or an escape which goes on after it.

    Args:
        piece: of a content. It does not begin in the middle of an escape.
        end: a place in it; None for its end.
    """
    end = len(piece) if end is None else end
    for back in range(1, min(_LONGEST, end + 1)):
        byte = piece[end - back]
        if byte == _BACKSLASH:
            first = end - back
            while first > 0 and piece[first - 1] == _BACKSLASH:
                first -= 1
            opens = (end - back - first) % 2 == 0
            size = _LONGEST if back > 1 and piece[end - back + 1] == ord("u") else 2
            return back if opens and back < size else 0
        if byte >= _CHARACTER[0][0]:
            return back if back < max(size for first, size in _CHARACTER if byte >= first) else 0
    return 0


def unescaped(piece: bytes) -> str:
    """Give what a piece of a content says that is whole: see `broken`."""
    text: str = json.loads(b'"' + piece + b'"')
    return text


def beginning(head: bytes) -> str:
    """Give what is said in the first bytes of a message."""
    if (at := start(head)) is None:
        return ""
    piece = head[at:].partition(b'","')[0].removesuffix(b'"}')
    return unescaped(piece[: len(piece) - broken(piece)])


def escaped(text: str) -> bytes:
    """Give the bytes that a content says this text with."""
    return to_json(text)[1:-1]
