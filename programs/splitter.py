"""Parts a reply, however it is cut into pieces, into what the user reads and what is not for the user.

A reply is text for the user; then, optionally, one or more lines `TOOL_INTENT: ...`, each with named blocks below it:

    I'll add the missing check.
    TOOL_INTENT: in src/app.py replace block OLD with block NEW
    <<<OLD
        return cache[key]
    >>>OLD
    <<<NEW
        return cache.get(key)
    >>>NEW

`<think>...</think>` is what a model calls thinking and is dropped. Both markers count only at the start of a line
and outside fenced code, so that a model can still write about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from programs.transcript import ToolIntent

_INTENT = "TOOL_INTENT:"
_THINK, _THOUGHT = "<think>", "</think>"
_THOUGHTS = re.compile(rf"^\s*{_THINK}.*?(?:{_THOUGHT}\s*|\Z)", re.DOTALL)
_FENCE = "```"
_BLOCK = re.compile(r"^<<<(\w+)[ \t]*\r?\n(?:(.*?)\r?\n)??>>>\1[ \t]*$", re.DOTALL | re.MULTILINE)
_AT_ONCE = 1 << 13  # characters: each line moves what is behind it, which must not be all of a long text
_OPEN_BLOCK = re.compile(r"^<<<(\w+)[ \t]*(?:\r?\n|\Z)", re.MULTILINE)


class _In(Enum):
    TEXT = auto()
    THOUGHT = auto()
    INTENT = auto()


class Splitter:
    """Feed it a reply piece by piece; it gives back the visible text as soon as it cannot be anything else.

    White space before a marker is dropped with it; all other text comes out byte for byte.
    """

    def __init__(self) -> None:
        self._in = _In.TEXT
        self._rest = ""
        self._at_line_start = True
        self._in_fence = False
        self._gap: str | None = None  # the white space around a thought that has just ended
        self._any_text = False
        self._intent = ""

    def feed(self, piece: str) -> str:
        """Take the next piece of the reply; return the text that is now certain to be visible."""
        visible: list[str] = []
        for start in range(0, len(piece), _AT_ONCE):
            self._rest += piece[start : start + _AT_ONCE]
            while (text := self._advance()) is not None:
                visible.append(text)
        return "".join(visible)

    def finish(self) -> str:
        """The reply is over: return the visible text that was still held back."""
        visible = ""
        if self._in is _In.TEXT and self._rest and not (self._gap is not None and not self._rest.strip()):
            visible = self._emit(self._rest)
        self._rest = ""
        return visible

    @property
    def intents(self) -> tuple[ToolIntent, ...]:
        """What the assistant wants done; complete once `finish` was called."""
        return tuple(_read_intents(self._intent)) if self._in is _In.INTENT else ()

    def _advance(self) -> str | None:
        """One move: visible text, `""` for a change of state, None when more of the reply is needed."""
        match self._in:
            case _In.TEXT:
                return self._line_start() if self._at_line_start else self._within_line()
            case _In.THOUGHT:
                return self._thought()
            case _In.INTENT:
                self._intent += self._rest
                self._rest = ""
                return None

    def _line_start(self) -> str | None:
        """At the start of a line, where a marker may stand after white space."""
        line = self._rest.lstrip()
        if not line:
            return None
        white = self._rest[: len(self._rest) - len(line)]
        markers = (_FENCE,) if self._in_fence else (_FENCE, _INTENT, _THINK)
        for marker in markers:
            if line.startswith(marker):
                return self._marker(marker, white, line)
            if marker.startswith(line):
                return None
        self._at_line_start = False
        return self._emit_up_to(len(white))

    def _marker(self, marker: str, white: str, line: str) -> str:
        if marker == _FENCE:
            self._in_fence = not self._in_fence
            self._at_line_start = False
            return self._emit_up_to(len(white) + len(_FENCE))
        self._rest = line[len(marker) :]
        if marker == _INTENT:
            self._in = _In.INTENT
        else:
            self._in = _In.THOUGHT
            self._gap = self._gap if self._gap is not None else white
        return ""

    def _within_line(self) -> str | None:
        if not self._rest:
            return None
        end = self._rest.find("\n")
        if end < 0:
            return self._emit_up_to(len(self._rest))
        self._at_line_start = True
        return self._emit_up_to(end)

    def _thought(self) -> str | None:
        end = self._rest.find(_THOUGHT)
        if end < 0:
            self._rest = self._rest[-len(_THOUGHT) + 1 :]
            return None
        self._rest = self._rest[end + len(_THOUGHT) :]
        self._in = _In.TEXT
        self._at_line_start = True
        return ""

    def _emit_up_to(self, end: int) -> str:
        text, self._rest = self._rest[:end], self._rest[end:]
        return self._emit(text)

    def _emit(self, text: str) -> str:
        if self._gap is not None:
            # After a thought, white space is as it was before it, and none at the very start.
            text = (self._gap if self._any_text else "") + text.lstrip()
            self._gap = None
        self._any_text = self._any_text or bool(text)
        return text


def split(reply: str) -> tuple[str, tuple[ToolIntent, ...]]:
    """A whole reply as (visible text, intents)."""
    splitter = Splitter()
    text = splitter.feed(reply) + splitter.finish()
    return text, splitter.intents


def without_thinking(reply: str) -> str:
    """A reply that is not for the user, without what its model calls thinking."""
    return _THOUGHTS.sub("", reply)


def join(text: str, intents: Iterable[ToolIntent]) -> str:
    """The reply that `split` parts into `text` and `intents`: how a demonstration is written."""
    lines = [text] if text else []
    for intent in intents:
        lines.append(f"{_INTENT} {intent.text}")
        lines.extend(f"<<<{name}\n{block}\n>>>{name}" for name, block in intent.blocks.items())
    return "\n".join(lines)


def _read_intents(written: str) -> Iterator[ToolIntent]:
    """The intents in what follows the first marker. A block is taken whole, whatever is written in it."""
    words, *more = _BLOCK.split(written)
    parts: list[tuple[str, dict[str, str]]] = [(part, {}) for part in _split_words(words)]
    while more:
        name, block, words, *more = more
        parts[-1][1][name] = block or ""
        first, *others = _split_words(words)
        parts[-1] = (parts[-1][0] + first, parts[-1][1])
        parts.extend((part, {}) for part in others)
    for words, blocks in parts:
        if unfinished := _OPEN_BLOCK.search(words):
            blocks[unfinished[1]] = words[unfinished.end() :]
            yield ToolIntent(text=words[: unfinished.start()].strip(), blocks=blocks, complete=False)
        else:
            yield ToolIntent(text=words.strip(), blocks=blocks)


def _split_words(words: str) -> list[str]:
    return words.split(f"\n{_INTENT}")
