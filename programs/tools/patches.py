"""Patches as models and git write them: unified diffs, and the form that begins with `*** Begin Patch`.

Both become the same thing: for each file what happens to it, and hunks of lines that stay, go and come.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from programs.errors import ToolFailed

_RANGE = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_HEADERS = ("diff --git", "rename from", "rename to", "new file mode", "deleted file mode", "new mode", "copy from")
_NULL = "/dev/null"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


@dataclass(slots=True)
class Hunk:
    """Lines that follow each other in a file, and what becomes of them.

    Attributes:
        lines: each with its sign: ` ` stays, `-` goes, `+` comes.
        start: the number of the first line, from 1, where the patch says it; else None.
        anchors: lines to be found first, one after another.
        ends_file: the last line is the file's.
        old_open: the last line has no line end.
        new_open: it is to have none.
    """

    lines: list[tuple[str, str]] = field(default_factory=list)
    start: int | None = None
    anchors: list[str] = field(default_factory=list)
    ends_file: bool = False
    old_open: bool = False
    new_open: bool = False

    @property
    def old(self) -> list[str]:
        """The lines as they must be."""
        return [line for sign, line in self.lines if sign != "+"]

    @property
    def new(self) -> list[str]:
        """The lines as they become."""
        return [line for sign, line in self.lines if sign != "-"]


@dataclass(slots=True)
class FilePatch:
    """What happens to one file: `target` is where it goes, if it moves; `mode` its permission bits, if they change."""

    action: Literal["add", "update", "delete"]
    path: str
    target: str | None = None
    mode: int | None = None
    hunks: list[Hunk] = field(default_factory=list)


def read_patch(text: str) -> list[FilePatch]:
    """What a patch in either form says.

    Raises:
        ToolFailed: it is in neither form; the message says which line is wrong.
    """
    lines = text.split("\n")
    if all(line.endswith("\r") for line in lines if line):
        lines = [line.removesuffix("\r") for line in lines]  # a patch that came with CRLF, not one of CRLF
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0].strip():
        lines.pop(0)
    if lines and lines[0].startswith("```"):
        lines = lines[1:-1] if lines[-1].strip() == "```" else lines[1:]
    if any(line.strip() == "*** Begin Patch" for line in lines):
        files = _Reader(lines).marked()
    else:
        files = _Reader(lines).unified()
    if not files:
        raise ToolFailed(
            "the patch names no file; begin it with `*** Begin Patch`, or with `--- a/...` and `+++ b/...`"
        )
    return files


class _Reader:
    """Reads lines, and knows which one it is at."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def marked(self) -> list[FilePatch]:
        """The form of `*** Begin Patch`."""
        while self._take().strip() != "*** Begin Patch":
            pass
        files: list[FilePatch] = []
        while (line := self._peek()) is not None and line.strip() != "*** End Patch":
            self._at += 1
            if not line.strip():
                continue
            action, path = self._heading(line)
            file = FilePatch(action, path)
            files.append(file)
            if action == "add":
                file.hunks = [Hunk([("+", self._take()[1:]) for _ in iter(lambda: self._begins("+"), False)])]
            elif action == "update":
                if (move := self._peek()) is not None and move.startswith("*** Move to: "):
                    file.target = self._take().removeprefix("*** Move to: ").strip()
                self._marked_hunks(file)
        if self._peek() is None:
            raise ToolFailed("the patch has no `*** End Patch`; it was cut off")
        return files

    def _heading(self, line: str) -> tuple[Literal["add", "update", "delete"], str]:
        actions: tuple[Literal["add", "update", "delete"], ...] = ("add", "update", "delete")
        for action in actions:
            before, _, path = line.partition(f"*** {action.capitalize()} File: ")
            if not before and path.strip():
                return action, path.strip()
        wanted = "`*** Add File: PATH`, `*** Update File: PATH`, `*** Delete File: PATH` or `*** End Patch`"
        raise self._wrong(wanted, back=1)

    def _marked_hunks(self, file: FilePatch) -> None:
        while (line := self._peek()) is not None and not line.startswith("*** "):
            if not line.strip():
                self._at += 1
                continue
            hunk = Hunk()
            while self._begins("@@"):
                self._anchor(hunk, self._take())
            self._body(hunk, lambda line: line.startswith(("@@", "*** ")))
            if (line := self._peek()) is not None and line.strip() == "*** End of File":
                self._at += 1
                hunk.ends_file = True
            if not hunk.lines:
                raise self._wrong("a line that begins with a space, `-` or `+`")
            file.hunks.append(hunk)
        if not file.hunks and file.target is None:
            raise self._wrong(f"what is to change in {file.path}, after a line `@@`")

    def _anchor(self, hunk: Hunk, line: str) -> None:
        if (numbers := _RANGE.match(line)) is not None:
            hunk.start = int(numbers[1])
        elif anchor := line.removeprefix("@@").removesuffix("@@").strip():
            hunk.anchors.append(anchor)

    def _body(self, hunk: Hunk, ends: Callable[[str], bool], counts: tuple[int, int] | None = None) -> None:
        """The lines of a hunk: as many old and new ones as `counts` says, and further ones until one that `ends` it.

        Models count badly, so a hunk may be shorter or longer than its head says.
        """
        old, new = counts or (0, 0)
        spare = 0
        while (line := self._peek()) is not None:
            due = old > 0 or new > 0
            if (self._starts_next(old, new) if due else ends(line)) or (counts and not due and line[:1] not in " +-\\"):
                break
            if line.startswith("\\"):  # "No newline at end of file" is said of the line before
                sign = hunk.lines[-1][0] if hunk.lines else " "
                hunk.old_open = hunk.old_open or sign != "+"
                hunk.new_open = hunk.new_open or sign != "-"
            elif line and line[0] not in " +-":
                raise self._wrong("a line that begins with a space, `-` or `+`")
            else:
                sign = line[:1] or " "
                hunk.lines.append((sign, line[1:]))
                old -= sign != "+"
                new -= sign != "-"
            spare = spare + 1 if not line and not due else 0
            self._at += 1
        if spare:  # empty lines behind the hunk, which look like lines that stay
            del hunk.lines[-spare:]

    def unified(self) -> list[FilePatch]:
        """A unified diff, of git or not."""
        files: list[FilePatch] = []
        header: dict[str, str] = {}
        while (line := self._peek()) is not None:
            if line.startswith("diff --git "):
                files += _headed(header)
                header = {}
            for name in _HEADERS:
                if line.startswith(f"{name} "):
                    header[name] = line.removeprefix(f"{name} ")
            if line.startswith(("GIT binary patch", "Binary files ")):
                raise ToolFailed("the patch changes a binary file; only text can be patched")
            if self._starts_file():
                files.append(self._unified_file(header))
                header = {}
            elif line.startswith("@@"):
                raise self._wrong("`--- a/PATH` and `+++ b/PATH` before the first `@@`")
            else:
                self._at += 1
        return files + _headed(header)

    def _unified_file(self, header: dict[str, str]) -> FilePatch:
        old, new = (_path(self._take()[4:]) for _ in range(2))
        gits = (old == _NULL or old.startswith("a/")) and (new == _NULL or new.startswith("b/"))
        if gits:
            old, new = (name if name == _NULL else name[2:] for name in (old, new))
        if "copy from" in header:
            raise ToolFailed(f"the patch copies a file to {new}; that is not known here, add the file instead")
        mode = header.get("new file mode") or header.get("new mode")
        file = FilePatch("update", old if gits else new, mode=_mode(mode))
        if old == _NULL:
            file.action, file.path = "add", new
        elif new == _NULL:
            file.action, file.path = "delete", old
        elif old != new and gits:
            file.target = new
        if file.path == _NULL:
            raise ToolFailed("the patch says /dev/null for the old and the new path of a file")
        while self._begins("@@"):
            numbers = _RANGE.match(head := self._take())
            hunk = Hunk(start=int(numbers[1]) if numbers else None)
            if numbers is None and head.strip("@ ."):
                raise self._wrong("`@@ -1,3 +1,4 @@` or the like", back=1)
            counts = (int(numbers[2] or 1), int(numbers[4] or 1)) if numbers else None
            self._body(hunk, self._ends_hunk, counts)
            if not hunk.lines:
                raise self._wrong("a line that begins with a space, `-` or `+`")
            file.hunks.append(hunk)
        if not file.hunks and file.action == "update" and file.target is None and file.mode is None:
            raise self._wrong(f"`@@ -1,3 +1,4 @@` or the like, and then what is to change in {file.path}")
        return file

    def _ends_hunk(self, line: str) -> bool:
        return line.startswith(("@@", "diff --git ")) or line == "-- " or self._starts_file()

    def _starts_next(self, old: int, new: int) -> bool:
        """Whether a hunk is over although `old` and `new` lines are missing: what comes can only be a head."""
        if self._begins("@@") or self._begins("diff --git "):
            return True
        third = self._lines[self._at + 2 : self._at + 3]
        return self._starts_file() and bool(third) and third[0].startswith("@@") and not (old <= 1 and new <= 1)

    def _starts_file(self) -> bool:
        here = self._lines[self._at : self._at + 2]
        return len(here) == 2 and here[0].startswith("--- ") and here[1].startswith("+++ ")

    def _peek(self) -> str | None:
        return self._lines[self._at] if self._at < len(self._lines) else None

    def _begins(self, start: str) -> bool:
        return self._at < len(self._lines) and self._lines[self._at].startswith(start)

    def _take(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def _wrong(self, wanted: str, *, back: int = 0) -> ToolFailed:
        self._at -= back
        line = self._peek()
        there = "the patch ends there" if line is None else f"it is {line[:200]!r}"
        return ToolFailed(f"line {self._at + 1} of the patch should be {wanted}; {there}")


def _headed(header: dict[str, str]) -> list[FilePatch]:
    """What git's header alone says: a move, another mode, an empty file that comes or goes."""
    if "rename to" in header and "rename from" in header:
        return [FilePatch("update", _path(header["rename from"]), _path(header["rename to"]))]
    same = re.fullmatch(r'("?)a/(.+)\1 \1b/\2\1', header.get("diff --git", ""))
    if same is None:
        return []
    path = _path(f"{same[1]}{same[2]}{same[1]}")
    if "new file mode" in header:
        return [FilePatch("add", path, mode=_mode(header["new file mode"]))]
    if "deleted file mode" in header:
        return [FilePatch("delete", path)]
    return [FilePatch("update", path, mode=_mode(header["new mode"]))] if "new mode" in header else []


def _mode(text: str | None) -> int | None:
    """Permission bits, of which git knows but one."""
    if text is None:
        return None
    if text.strip() not in {"100644", "100755"}:
        raise ToolFailed(f"the patch makes a file of mode {text.strip()[:20]}; only plain files can be patched")
    return 0o755 if text.strip() == "100755" else 0o644


def _path(text: str) -> str:
    """A path as diffs write it: a time may follow behind a tab, odd characters are quoted as in C."""
    text = text.partition("\t")[0].strip()
    if len(text) < 2 or not text.startswith('"') or not text.endswith('"'):
        return text

    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code, 8)) if code[0].isdigit() else _ESCAPES.get(code, code)

    inner = text[1:-1].encode().decode("latin-1")  # so that each character is a byte
    return re.sub(r"\\([0-3][0-7]{2}|.)", plain, inner).encode("latin-1").decode(errors="surrogateescape")
