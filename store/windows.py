"""The transcript that a run was given, looked at in windows, and looked through: as jobs, for readers alone."""

from __future__ import annotations

import re

from store import statements
from store.bodies import STEP, Body, heads, numbers, opened
from store.contents import HEAD, broken, escaped, role, start, unescaped
from store.database import Database
from store.looking import Found, Part, Window
from store.statements import Values, row

_TAIL = 1 << 16  # bytes at the end of a message, in which is seen whether something follows its content
_SMALLEST = 16  # bytes of a window: some character, or some escape, is whole in it
_LONGEST = 6  # bytes of an escape

_ENDS = b'","'  # what follows a content: within one, each quote has a backslash before it
_ANSWERS = re.compile(rb'","tool_call_id":"(?:[^"\\]|\\.)*"\}\Z')


def parts(db: Database, tenant: str, run_id: str) -> list[Part]:
    """Look at the messages, but not at what they say."""
    given = _given(db, tenant, run_id)
    return [Part(index, role(head), size) for index, head, size in heads(db, given)]


def window(db: Database, tenant: str, run_id: str, index: int, at: int, *, size: int) -> Window | None:
    """Read what a message says at one place."""
    number = dict(numbers(db, _given(db, tenant, run_id))).get(index)
    if number is None:
        return None
    with opened(db, number) as body:
        nothing = Window("", body.size, body.size, body.size)
        begins = start(body.read(0, HEAD))
        if begins is None or at >= body.size:
            return nothing
        at, size = max(at, begins), max(size, _SMALLEST)
        _expect(body, begins, at, size)
        ends = _end(body, begins)
        if at >= ends:
            return nothing
        at = _whole(body, begins, at)
        piece = body.read(at, min(size, ends - at))
        if at + len(piece) < ends:
            piece = piece[: len(piece) - broken(piece)]
        end = at + len(piece)
        return Window(unescaped(piece), at, end if end < ends else body.size, body.size)


def locate(db: Database, tenant: str, run_id: str, text: str, after: Found | None) -> Found | None:
    """Find where a text is said."""
    try:
        needle = escaped(text)
    except ValueError:  # half a character: nobody can have said it
        return None
    if not needle:
        return None
    for index, number in numbers(db, _given(db, tenant, run_id), needle.decode()):
        if after is not None and index < after.index:
            continue
        with opened(db, number) as body:
            begins = start(body.read(0, HEAD))
            if begins is None:
                continue
            at = after.at + 1 if after is not None and index == after.index else 0
            found = _find(body, needle, begins, max(at, begins))
            if found is not None and found < _end(body, begins):
                return Found(index, found)
    return None


def _given(db: Database, tenant: str, run_id: str) -> Values:
    found = row(db, statements.RUN_HEADS, {"tenant": tenant, "id": run_id})
    return {"tenant": tenant, "head": found[0] if found else None}


def _expect(body: Body, begins: int, at: int, size: int) -> None:
    # What is looked at to read that: what is before, it, and whether something follows the content.
    before, tail = max(begins, at - HEAD), max(begins, body.size - _TAIL)
    body.expect((before, at - before + size), (tail, body.size - tail))


def _end(body: Body, begins: int) -> int:
    """Find where the content ends that begins there."""
    tail_at = max(begins, body.size - _TAIL)
    tail = body.read(tail_at, body.size - tail_at)
    if answers := _ANSWERS.search(tail):
        return tail_at + answers.start()
    if tail.endswith(b'"}') and _ENDS not in tail:
        return body.size - 2
    return body.find(_ENDS, begins)


def _whole(body: Body, begins: int, at: int) -> int:
    """Find the beginning of the character or escape, in the content that begins there, that `at` is in."""
    before_at = max(begins, at - _LONGEST)
    before = body.read(before_at, at - before_at)
    if (last := before.rfind(b"\\")) >= 0:
        # Of two backslashes the first escapes the second; what is before them decides which is which.
        row_of_them = _backslashes(body, begins, before_at + last + 1)
        before = b"\\" * (row_of_them % 2) + before[last + 1 :]
    return at - broken(before)


def _backslashes(body: Body, begins: int, at: int) -> int:
    """Count the backslashes that stand directly before `at`."""
    count, step = 0, HEAD
    while at > begins:
        before = body.read(max(begins, at - step), min(step, at - begins))
        here = len(before) - len(before.rstrip(b"\\"))
        count += here
        if here < len(before):
            break
        at -= here
        step = STEP
    return count


def _find(body: Body, needle: bytes, begins: int, at: int) -> int | None:
    """Find the first place, from `at` on, where the needle is and does not begin in the middle of an escape."""
    while (at := body.find(needle, at)) >= 0:
        _expect(body, begins, at, STEP + len(needle))
        aligned = _whole(body, begins, at)
        piece = body.read(aligned, STEP + len(needle))
        place = piece.find(needle, at - aligned)
        while place >= 0:
            if not broken(piece, place):
                return aligned + place
            place = piece.find(needle, place + 1)
        at = aligned + len(piece) - len(needle) + 1
    return None
