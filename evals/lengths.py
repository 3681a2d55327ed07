"""Lengths of contexts as people write them."""

from __future__ import annotations

import re

_WRITTEN = re.compile(r"(\d+)([kM]?)")
_UNITS = {"": 1, "k": 2**10, "M": 2**20}


def read_lengths(text: str) -> list[int]:
    """Numbers of tokens, from `8k,128k,1M`: a k is 1,024, an M 1,024 of those.

    Raises:
        ValueError: it is something else.
    """
    lengths = []
    for word in text.split(","):
        written = _WRITTEN.fullmatch(word.strip())
        if written is None or int(written[1]) == 0:
            raise ValueError(f"{word.strip()!r} is no length: write 8k,128k,1M")
        lengths.append(int(written[1]) * _UNITS[written[2]])
    return lengths
