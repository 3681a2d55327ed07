"""Searching in files: the lines that a pattern is found in, and the passages that say most about a question.

The context is a list of files, each `{"path": ..., "content": ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from . import helpers

_AROUND = 200
_PASSAGE_LINES = 40
_PASSAGE_CHARS = 2000


def bound_to(current: Callable[[], Any]) -> dict[str, Callable[..., Any]]:
    """The two searches, in what `current` returns at the time of the call."""

    def find_lines(pattern: str, limit: int) -> list[tuple[str, int, str]]:
        """The first `limit` lines that the regular expression is found in: path, number, and the line.

        Of a long line, it is what surrounds the place.
        """
        search = re.compile(pattern).search
        found: list[tuple[str, int, str]] = []
        for file in current():
            for number, line in enumerate(file["content"].split("\n"), 1):
                if (match := search(line)) is not None:
                    found.append((file["path"], number, _excerpt(line.removesuffix("\r"), match)))
                    if len(found) == limit:
                        return found
        return found

    def find_passages(question: str, limit: int) -> list[tuple[str, int, str]]:
        """The `limit` passages that say most about the question, best first: path, number of the first line, text."""
        passages = [(file["path"], number, text) for file in current() for number, text in _passages(file["content"])]
        terms = helpers.terms_of(_apart(question))
        if not terms or not passages:
            return []
        scores = helpers.bm25([f"{_apart(path)}\n{_apart(text)}" for path, _, text in passages], terms)
        best = sorted((index for index, score in enumerate(scores) if score > 0), key=lambda index: -scores[index])
        return [passages[index] for index in best[:limit]]

    return {"find_lines": find_lines, "find_passages": find_passages}


def _excerpt(line: str, match: re.Match[str]) -> str:
    begin, end = max(0, match.start() - _AROUND), min(match.end(), match.start() + _AROUND) + _AROUND
    return ("..." if begin else "") + line[begin:end] + ("..." if end < len(line) else "")


def _passages(content: str) -> Iterator[tuple[int, str]]:
    """Pieces of a text, cut at an empty line where one is near, with the numbers of their first lines."""
    lines = content.split("\n")
    begin = 0
    while begin < len(lines):
        if not lines[begin].strip():
            begin += 1
            continue
        piece = lines[begin : begin + _PASSAGE_LINES]
        if len(piece) == _PASSAGE_LINES:
            half = _PASSAGE_LINES // 2
            piece = piece[: next((index for index in range(half, _PASSAGE_LINES) if not piece[index].strip()), None)]
        text = "\n".join(piece)
        if len(text) > _PASSAGE_CHARS:  # as many lines as there is room for, and at least one
            kept = max(1, text.count("\n", 0, _PASSAGE_CHARS))
            piece = piece[:kept]
            text = "\n".join(piece)[:_PASSAGE_CHARS]
        yield begin + 1, text
        begin += len(piece)


def _apart(text: str) -> str:
    """The text with the words of its names apart: `readFile` and `read_file` are "read File" and "read file"."""
    return re.sub(r"[A-Z]+", r" \g<0>", text.replace("_", " "))
