"""Where in context C a text comes from: a few telling pieces of it are looked for there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from store import Store, StoredRun
from store.looking import Part

_LENGTH = 90  # characters of a piece
_SHORTEST = 16  # below which it tells little, where there is more
_LEAST = 4
_SHARES = (0.5, 0.2, 0.8, 0.02, 0.98)  # of the text: where pieces are taken, the most telling first
_AROUND = 2000  # characters beside such a place that are looked at
_MOST = 6  # pieces that are looked for: each may go through a hundred megabytes

# What a program prints is often a list of texts, in quotes and with escapes.
_BREAK = re.compile(r"\n|\\n|['\"], ?['\"]|\['|'\]|\[\"|\"\]")


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a text, and where it stands in context C.

    Attributes:
        piece: the words.
        part: the message.
        at: in bytes of the message as it is kept.
    """

    piece: str
    part: Part
    at: int


async def places_of(store: Store, run: StoredRun, texts: Iterable[str]) -> list[Place]:
    """Where pieces of the texts stand in what the run was given, in the order of that."""
    parts = {part.index: part for part in await store.parts(run.tenant, run.id)}
    found: dict[tuple[int, int], Place] = {}
    pieces = list(dict.fromkeys(piece for text in texts for piece in pieces_of(text)))
    for piece in pieces[:_MOST]:
        if (place := await store.locate(run.tenant, run.id, piece)) is not None and place.index in parts:
            found.setdefault((place.index, place.at), Place(piece, parts[place.index], place.at))
    return [found[key] for key in sorted(found)]


def pieces_of(text: str) -> Iterator[str]:
    """Pieces of the text that are likely to stand as they are in what it was made of, the most telling first."""
    if len(text.strip()) <= _LENGTH and "\n" not in text.strip():
        if len(text.strip()) >= _LEAST:
            yield text.strip()
        return
    for share in _SHARES:
        at = int(len(text) * share)
        first = max(0, at - _AROUND)
        if lines := list(_lines(text[first : at + _AROUND])):
            _, line = min(lines, key=lambda found: abs(first + found[0] + len(found[1]) // 2 - at))
            middle = max(0, len(line) - _LENGTH) // 2
            yield line[middle : middle + _LENGTH]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of the text that tell something, each with its place."""
    begins = 0
    for ends, resumes in (*(found.span() for found in _BREAK.finditer(text)), (len(text), len(text))):
        line = text[begins:ends].strip()
        if len(line) >= _SHORTEST:
            yield begins, line
        begins = resumes
