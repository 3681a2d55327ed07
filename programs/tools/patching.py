"""What a patch makes of files: hunks find their lines, and the rest of each file stays byte for byte what it is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from programs.errors import ToolFailed
from programs.tools.patches import FilePatch, Hunk
from programs.tools.staging import Change
from programs.tools.workspace import Workspace


@dataclass(slots=True)
class _Draft:
    """A file as it is and as it becomes; None is no file. `bits` are its permissions, `mode` those it is to have."""

    before: bytes | None
    after: bytes | None
    bits: int | None = None
    mode: int | None = None


def changes_of(workspace: Workspace, files: Iterable[FilePatch]) -> tuple[list[Change], list[str]]:
    """The changes that a patch comes to, and each in a sentence. Nothing is written.

    Raises:
        ToolFailed: a part of it does not fit.
    """
    drafts: dict[str, _Draft] = {}

    def draft(path: str) -> _Draft:
        path = posixpath.normpath(path)
        if path not in drafts:
            status = workspace.stat(path)
            data = None if status is None else workspace.read(path)
            drafts[path] = _Draft(data, data, bits=None if status is None else status.st_mode & 0o777)
        return drafts[path]

    done = [_draw(file, draft(file.path), draft(file.target) if file.target else None) for file in files]
    changes = [
        Change(path, one.after, one.mode)
        for path, one in drafts.items()
        if one.after != one.before or one.mode is not None
    ]
    return changes, done


def _draw(file: FilePatch, draft: _Draft, target: _Draft | None) -> str:
    """Draw what happens to a file into its draft, or into that of where it goes."""
    path = file.path
    if file.action == "add":
        if draft.after is not None:
            raise ToolFailed(f"{path} cannot be added, it is there; update it, or delete it first")
        draft.after, draft.mode = _patched(path, b"", file.hunks), file.mode
        return f"Made {path}."
    if draft.after is None:
        raise ToolFailed(f"{path} cannot be patched, there is no such file")
    if file.action == "delete":
        if file.hunks and _patched(path, draft.after, file.hunks):
            raise ToolFailed(f"{path} cannot be deleted: it holds more than the patch takes away")
        draft.after = draft.mode = None
        return f"Deleted {path}."
    data = _patched(path, draft.after, file.hunks) if file.hunks else draft.after
    if target is None:
        draft.after, draft.mode = data, draft.mode if file.mode is None else file.mode
        return f"Changed {path}: {len(file.hunks)} {'hunk' if len(file.hunks) == 1 else 'hunks'}."
    if target.after is not None and target is not draft:
        raise ToolFailed(f"{path} cannot be moved to {file.target}, which is there")
    modes = (file.mode, draft.mode, draft.bits)
    draft.after = draft.mode = None
    target.after, target.mode = data, next(mode for mode in modes if mode is not None)
    return f"Moved {path} to {file.target}{', and changed it' if file.hunks else ''}."


@dataclass(slots=True)
class _Line:
    """A line without its end, and its end: LF, CRLF, or "" where it has none or that of the others."""

    text: str
    end: str


def _patched(path: str, data: bytes, hunks: Sequence[Hunk]) -> bytes:
    """A file's bytes after the hunks.

    Raises:
        ToolFailed: a hunk does not fit.
    """
    if b"\0" in data:
        raise ToolFailed(f"{path} is a binary file; only text can be patched")
    text = data.decode(errors="surrogateescape")
    lines = _lines(text)
    usual = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    # A patch that shows carriage returns means them; most are written without, whatever the file has.
    exact = any(words.endswith("\r") for hunk in hunks for _, words in hunk.lines)
    closed = text.endswith("\n") or not text
    made: list[_Line] = []
    at = shift = 0
    for number, hunk in enumerate(hunks, 1):
        begin = _find(lines, hunk, at, shift)
        if begin is None:
            which = f"hunk {number} of {len(hunks)}" if len(hunks) > 1 else "the hunk"
            raise ToolFailed(f"{path}: {which} does not fit. {_why(lines, hunk, at)} No file was changed.")
        if hunk.start is not None and hunk.old:
            shift = begin - (hunk.start - 1)
        made += lines[at:begin]
        at = begin
        for sign, words in hunk.lines:
            if sign == "+":
                made.append(_Line(words.removesuffix("\r"), _end(words) if exact else ""))
            else:
                made += lines[at : at + 1] if sign == " " else []
                at += 1
        if at == len(lines) and (hunk.old_open or hunk.new_open):
            closed = not hunk.new_open
    made += lines[at:]
    return _joined(made, usual, closed=closed).encode(errors="surrogateescape")


def _lines(text: str) -> list[_Line]:
    *whole, rest = text.split("\n")
    lines = [_Line(line.removesuffix("\r"), _end(line)) for line in whole]
    return [*lines, _Line(rest, "")] if rest else lines


def _end(line: str) -> str:
    """The end of a line that was cut before its LF."""
    return "\r\n" if line.endswith("\r") else "\n"


def _joined(lines: Sequence[_Line], usual: str, *, closed: bool) -> str:
    """The lines as a text whose last line has an end or, where it is not `closed`, none."""
    parts = [line.text + (line.end or usual) for line in lines[:-1]]
    parts += [line.text + ((line.end or usual) if closed else line.end.removesuffix("\n")) for line in lines[-1:]]
    return "".join(parts)


def _find(lines: Sequence[_Line], hunk: Hunk, low: int, shift: int) -> int | None:
    """The index of the line where a hunk begins, not before `low`; None where it does not fit.

    White space at the ends of lines may differ. Of several places it is the one nearest to where the hunk says that it
    belongs, moved as the hunk before was; else the first.
    """
    for anchor in hunk.anchors:
        there = (index for index in range(low, len(lines)) if lines[index].text.strip() == anchor)
        if (found := next(there, None)) is None:
            return None
        low = found + 1
    wanted = [line.removesuffix("\r") for line in hunk.old]
    if not wanted:
        usual = low if hunk.anchors else len(lines)
        return usual if hunk.start is None else min(max(low, hunk.start + shift), len(lines))
    have = [line.text for line in lines]
    if hunk.ends_file:
        low = max(low, len(lines) - len(wanted))
    near = low if hunk.start is None else max(low, hunk.start - 1 + shift)
    place = _nearest(have, wanted, low, near)
    if place is None:
        trimmed = [line.rstrip() for line in have], [line.rstrip() for line in wanted]
        place = _nearest(*trimmed, low, near)
    return place


def _nearest(lines: Sequence[str], wanted: Sequence[str], low: int, near: int) -> int | None:
    """Where, not before `low`, the wanted lines are, as near to index `near` as can be."""
    after = _first(lines[near:], wanted)
    reach = min(len(lines), near - 1 + len(wanted))
    before = _first(lines[low:reach][::-1], wanted[::-1])
    if before is None:
        return None if after is None else near + after
    earlier = reach - before - len(wanted)
    return earlier if after is None or near - earlier < after else near + after


def _first(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The index where the wanted lines first are. By a search in text, whose time does not multiply."""
    text = "\n" + "".join(f"{line}\n" for line in lines)
    at = text.find("\n" + "".join(f"{line}\n" for line in wanted))
    return None if at < 0 else text.count("\n", 0, at)


def _why(lines: Sequence[_Line], hunk: Hunk, low: int) -> str:
    texts = [line.text.strip() for line in lines]
    for anchor in hunk.anchors:
        if anchor not in texts[low:]:
            return f"There is no line {anchor[:200]!r}{f' after line {low}' if low else ''}."
    wanted = hunk.old
    ends = " at the end of the file" if hunk.ends_file else f" after line {low}" if low else ""
    shown = "\n".join(wanted[:12]) + ("\n..." if len(wanted) > 12 else "")
    missing = next((line for line in wanted if line.strip() not in texts), None)
    also = "" if missing is None or len(wanted) == 1 else f"The file has no line {missing[:200]!r}. "
    return f"{also}These lines are not in it{ends}:\n{shown}\n"
