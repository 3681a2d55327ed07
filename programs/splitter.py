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

Where tools are offered, a call that is written out, as JSON or XML, is an intent as well: see `programs.literal_calls`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from enum import Enum, auto

import regex

from programs.literal_calls import TAGS, literal_calls
from programs.transcript import ToolIntent

_INTENT = "TOOL_INTENT:"
RESULT = "TOOL_RESULT"
"""What the user's turn begins with that tells what came of an intent. A model that goes on to write one is guessing."""
_THINK, _THOUGHT = "<think>", "</think>"
_THOUGHTS = re.compile(rf"^\s*{_THINK}.*?(?:{_THOUGHT}\s*|\Z)", re.DOTALL)
_FENCE = "```"
_MARKER = re.compile(r"(<<<|>>>)(\w+)[ \t]*\r?")  # a line that begins or ends a block
_CLOSE = re.compile(r"^>>>(\w+)[ \t]*\r?$", re.MULTILINE)
_LONGEST_MARKER = 256  # characters
_AT_ONCE = 1 << 13  # characters: each line moves what is behind it, which must not be all of a long text
# What a call in JSON begins with, in a fence or bare; and where it ends.
_CALL = regex.compile(
    r"(?P<fence>```(?:json|tool_call|tool_code|tool)?[ \t]*\r?\n)?\s*(?:\[\s*)?"
    r"\{\s*\"(?:name|function|function_name|tool|tool_name|tool_calls|type|id|arguments|parameters)\"\s*:"
)
_FENCE_END = re.compile(r"\n[ \t]*```[ \t]*(?=\r?\n|\Z)")
_TAGS = tuple(tag for tag in TAGS if tag != "<tools>")
_LONGEST_CALL = 1 << 20  # characters


class _In(Enum):
    TEXT = auto()
    THOUGHT = auto()
    INTENT = auto()
    CALL = auto()  # what may be one: held back until it is clear


class Splitter:
    """Feed it a reply piece by piece; it gives back the visible text as soon as it cannot be anything else.

    White space before a marker is dropped with it; all other text comes out byte for byte.

    Args:
        tools: the names of those that are offered.
    """

    def __init__(self, tools: Collection[str] = ()) -> None:
        self._tools = frozenset(tools)
        self._calls: list[ToolIntent] = []
        self._call_gap = ""
        self._in = _In.TEXT
        self._rest = ""
        self._at_line_start = True
        self._in_fence = False
        self._gap: str | None = None  # the white space around a thought that has just ended
        self._any_text = False
        self._intent: list[str] = []
        self._watch = _Watch()
        self._try_at = 0  # characters of what may be a call, before which it is not looked at again

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
        if self._in is _In.CALL:
            visible = self._call(over=True) or ""
        if self._in is _In.TEXT and self._rest and not (self._gap is not None and not self._rest.strip()):
            visible += self._emit(self._rest)
        self._rest = ""
        return visible

    @property
    def intents(self) -> tuple[ToolIntent, ...]:
        """What the assistant wants done; complete once `finish` was called."""
        said = _read_intents("".join(self._intent)) if self._in is _In.INTENT else ()
        return (*self._calls, *said)

    @property
    def guessing(self) -> bool:
        """After its intents the model has gone on to write what comes of them, which it cannot know."""
        return self._watch.guessing

    def _advance(self) -> str | None:
        """One move: visible text, `""` for a change of state, None when more of the reply is needed."""
        match self._in:
            case _In.TEXT:
                return self._line_start() if self._at_line_start else self._within_line()
            case _In.THOUGHT:
                return self._thought()
            case _In.CALL:
                return self._call(over=False)
            case _In.INTENT:
                self._intent.append(self._rest)
                self._watch.feed(self._rest)
                self._rest = ""
                return None

    def _line_start(self) -> str | None:
        """At the start of a line, where a marker may stand after white space."""
        line = self._rest.lstrip()
        if not line:
            return None
        white = self._rest[: len(self._rest) - len(line)]
        if self._tools and not self._in_fence:
            begun = _begins_call(line)
            if begun is None:
                return None
            if begun:
                self._in, self._call_gap, self._rest = _In.CALL, white, line
                return ""
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

    def _call(self, *, over: bool) -> str | None:
        """What may be a call, once it is whole: an intent, if it is one of a tool that is offered; else text."""
        if not over and len(self._rest) < self._try_at:
            return None
        end = _end_of_call(self._rest)
        if end is None and not over and len(self._rest) < _LONGEST_CALL:
            # Looked at piece by piece, a long call would be read a thousand times.
            self._try_at = len(self._rest) * 5 // 4
            return None
        self._try_at = 0
        written = self._rest[:end]
        self._in = _In.TEXT
        # A tag is nothing that a user reads. JSON may be, unless it calls a tool that is offered.
        if written.startswith(_TAGS) or any(
            name.rpartition(".")[2] in self._tools for name, _ in literal_calls(written)
        ):
            self._calls.append(ToolIntent(text=written.strip()))
            self._rest = self._rest[len(written) :]
            self._at_line_start = True
            self._gap = self._gap if self._gap is not None else self._call_gap
            return ""
        self._at_line_start = False
        self._in_fence = written.startswith(_FENCE) and end is None
        self._rest = self._rest[len(written) :]
        return self._emit(self._call_gap + written)

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


def _begins_call(line: str) -> bool | None:
    """Whether a call that is written out begins here; None where more has to be seen."""
    for tag in TAGS:
        if line.startswith(tag):
            return True
        if tag.startswith(line):
            return None
    found = _CALL.match(line, partial=True)
    if found is None:
        return False
    return None if found.partial else True


def _end_of_call(text: str) -> int | None:
    """Where the call that `text` begins with ends; None where it is not whole yet."""
    for tag, end in TAGS.items():
        if text.startswith(tag):
            at = text.find(end)
            return None if at < 0 else at + len(end)
    if text.startswith(_FENCE):
        found = _FENCE_END.search(text)
        return found.end() if found else None
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[1]
    except (ValueError, RecursionError):
        return None


def split(reply: str, tools: Collection[str] = ()) -> tuple[str, tuple[ToolIntent, ...]]:
    """A whole reply as (visible text, intents), where `tools` are offered."""
    splitter = Splitter(tools)
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
    closed = {found[1]: found.start() for found in _CLOSE.finditer(written)}  # where each name is closed last
    words, blocks, unclosed = list[str](), dict[str, str](), ""
    name, begun, start = "", 0, 0
    for line in written.split("\n"):
        end = start + len(line)
        marker = _MARKER.fullmatch(line)
        if name:
            if marker and (marker[1], marker[2]) == (">>>", name):
                blocks[name] = written[begun : start - 1].removesuffix("\r") if start > begun else ""
                name = ""
                words.append("")
        elif marker and marker[1] == "<<<" and closed.get(marker[2], -1) > start:
            name, begun = marker[2], end + 1
        elif start and line.startswith(RESULT) and not unclosed:
            break
        elif start and line.startswith(_INTENT):
            yield _intent(words, blocks, unclosed)
            words, blocks, unclosed = [line.removeprefix(_INTENT)], {}, ""
        elif unclosed:
            blocks[unclosed] += f"{line}\n"
        elif marker and marker[1] == "<<<":
            unclosed = marker[2]
            blocks[unclosed] = ""
        else:
            words.append(line)
        start = end + 1
    yield _intent(words, blocks, unclosed)


def _intent(words: list[str], blocks: dict[str, str], unclosed: str) -> ToolIntent:
    if unclosed:
        blocks = {**blocks, unclosed: blocks[unclosed].removesuffix("\n")}
    return ToolIntent(text="\n".join(words).strip(), blocks=blocks, complete=not unclosed)


class _Watch:
    """Notices, as it is written, a result that nobody can know yet: outside of any block."""

    def __init__(self) -> None:
        self.guessing = False
        self._line = " "  # of the marker's own line, no more than a marker takes
        self._block = ""

    def feed(self, piece: str) -> None:
        """Look at more of what follows the first marker."""
        *ended, rest = piece.split("\n")
        for line in ended:
            self._look((self._line + line)[:_LONGEST_MARKER])
            self._line = ""
        self._line = (self._line + rest)[:_LONGEST_MARKER]
        if not self._block and self._line.startswith(RESULT):
            self.guessing = True

    def _look(self, line: str) -> None:
        marker = _MARKER.fullmatch(line)
        if self._block:
            if marker and marker[1] == ">>>" and marker[2] == self._block:
                self._block = ""
        elif marker and marker[1] == "<<<":
            self._block = marker[2]
        elif line.startswith(RESULT):
            self.guessing = True
