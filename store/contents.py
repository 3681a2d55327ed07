"""What a message says, in the JSON that it is kept as: found and read without reading all of it.

`Message.said()` writes the role first and then the content, if there is any. In it every quote, backslash and control
character is escaped, and nothing else is.
"""

from __future__ import annotations

import json
import re

HEAD = 64
"""The role and the beginning of the content are within so many bytes."""

_HEAD = re.compile(rb'\{"role":"(\w+)"(?:,"content":("))?')
_LONGEST = 6  # bytes of an escape
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


def broken(piece: bytes) -> int:
    """Count the bytes at the end of a piece of a content that begin a character or an escape and do not end it."""
    for back in range(1, min(_LONGEST, len(piece) + 1)):
        byte = piece[-back]
        if byte == ord("\\"):
            before = piece[: len(piece) - back]
            escapes = (len(before) - len(before.rstrip(b"\\"))) % 2 == 0
            whole = 6 if back > 1 and piece[1 - back] == ord("u") else 2
            return back if escapes and back < whole else 0
        if byte >= 0xC0:
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
