"""Which of four letters a reply means."""

from __future__ import annotations

import re

_OPEN, _CLOSE = r"[\s*_`\"'(\[]*", r"[\s*_`\"')\]]*"
_ONLY = rf"(?!{_CLOSE}(?:,|/|or|and)\s*{_OPEN}[A-D]\b)"  # no other letter beside it
_SAID = re.compile(rf"\b(?i:answer|choice|option)\b(?i:\s+is)?[\s:*_`]*(?i:option|choice)?{_OPEN}([A-D])\b{_ONLY}")
_FIRST = re.compile(rf"^{_OPEN}([A-D])(?:{_CLOSE}$|{_CLOSE}[).:,\]-]|\s*\n){_ONLY}")
_ALONE = re.compile(rf"^{_OPEN}([a-d]){_CLOSE}[.:]?{_CLOSE}$")
_BRACKETED = re.compile(r"\(([A-D])\)")


def letter_of(reply: str) -> str | None:
    """The letter, A to D, that a reply gives for its answer; None where it gives none, or more than one.

    What is called the answer counts most, at its last place; then a letter at the beginning, or the only one in
    brackets.
    """
    text = reply.strip()
    if said := _SAID.findall(text):
        return str(said[-1])
    if found := _FIRST.search(text) or _ALONE.search(text):
        return found[1].upper()
    bracketed = set(_BRACKETED.findall(text))
    return bracketed.pop() if len(bracketed) == 1 else None
