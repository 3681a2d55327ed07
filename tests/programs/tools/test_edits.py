"""`edit` and `multiedit`: what is named is replaced, and every other byte is as it was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.programs.tools.calling import Calling


@pytest.fixture
def call(tmp_path: Path) -> Calling:
    return Calling(tmp_path)


async def _edited(call: Calling, data: bytes, old: str, new: str, **more: bool) -> bytes:
    file = call.root / "file"
    file.write_bytes(data)
    said = await call("edit", filePath="file", oldString=old, newString=new, **more)
    assert said.ok, said.output
    return file.read_bytes()


async def test_one_place_is_replaced(call: Calling) -> None:
    assert await _edited(call, b"a\n\tb\nc", "\tb\n", "    d\n") == b"a\n    d\nc"


async def test_every_other_byte_stays(call: Calling) -> None:
    before = b"\xef\xbb\xbfgr\xfc\xc3\xbc\r\n\tx = '''1'''\n\0\x1b\rend"
    assert await _edited(call, before, "'''1'''", "<<<END 😀") == before.replace(b"'''1'''", "<<<END 😀".encode())


async def test_a_file_of_crlf_keeps_it_when_the_call_has_lf(call: Calling) -> None:
    assert await _edited(call, b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz") == b"x\r\ny\r\nz\r\nc\r\n"
    assert await _edited(call, b"a\r\nb\r\n", "a", "x\ny") == b"x\r\ny\r\nb\r\n"
    assert await _edited(call, b"a\r\nb\r\n", "a\r\nb", "x\r\ny") == b"x\r\ny\r\n"


async def test_a_file_of_both_line_ends_is_taken_as_it_is(call: Calling) -> None:
    assert await _edited(call, b"a\r\nb\nc\n", "b\nc", "x\ny") == b"a\r\nx\ny\n"


async def test_all_places_are_replaced_when_asked_for(call: Calling) -> None:
    assert await _edited(call, b"a b a b a", "a", "xx", replaceAll=True) == b"xx b xx b xx"


async def test_a_text_that_is_there_twice_is_refused_with_its_lines(call: Calling) -> None:
    (call.root / "file").write_text("x = 1\ny = 2\nx = 1\n")
    said = await call("edit", filePath="file", oldString="x = 1", newString="x = 3")
    assert not said.ok
    assert "there 2 times (lines 1, 3)" in said.output
    assert (call.root / "file").read_text() == "x = 1\ny = 2\nx = 1\n"


@pytest.mark.parametrize(
    ("old", "hint"),
    [
        ("def f( ):\n  return 1", "read the file again"),
        ("def f():\n  return 1", "line 2 and what follows differ from it in white space only:\ndef f():\n    return 1"),
        ("def f():\n    return 2", "its first line is line 2"),
        ("     2| def f():\n     3|     return 1", "leave out the line numbers"),
        ("RETURN", "read the file again"),
    ],
)
async def test_a_text_that_is_not_there_is_refused_with_a_hint(call: Calling, old: str, hint: str) -> None:
    (call.root / "file").write_text("import os\ndef f():\n    return 1\n")
    said = await call("edit", filePath="file", oldString=old, newString="x")
    assert not said.ok
    assert "oldString is not in the file" in said.output
    assert hint in said.output


async def test_an_empty_old_text_makes_a_file_and_replaces_none(call: Calling) -> None:
    assert (await call("edit", filePath="new/file", oldString="", newString="a\r\n")).ok
    assert (call.root / "new/file").read_bytes() == b"a\r\n"
    said = await call("edit", filePath="new/file", oldString="", newString="b")
    assert (said.ok, "oldString is empty" in said.output) == (False, True)
    said = await call("edit", filePath="other", oldString="a", newString="b")
    assert (said.ok, "no such file" in said.output) == (False, True)


async def test_a_file_does_not_grow_beyond_what_memory_holds(call: Calling) -> None:
    (call.root / "file").write_text("a" * 100_000)
    said = await call("edit", filePath="file", oldString="a", newString="b" * 1_000_000, replaceAll=True)
    assert (said.ok, "would become longer" in said.output) == (False, True)


async def test_a_change_that_changes_nothing_is_refused(call: Calling) -> None:
    (call.root / "file").write_text("a")
    assert not (await call("edit", filePath="file", oldString="a", newString="a")).ok


async def test_several_edits_follow_each_other(call: Calling) -> None:
    (call.root / "file").write_text("one two three")
    edits = [
        {"oldString": "one", "newString": "1 1"},
        {"oldString": "1", "newString": "eins", "replaceAll": True},
        {"oldString": "eins two", "newString": "2"},
    ]
    said = await call("multiedit", filePath="file", edits=edits)
    assert said.ok
    assert (call.root / "file").read_text() == "eins 2 three"


async def test_of_several_edits_none_is_made_when_one_fails(call: Calling) -> None:
    (call.root / "file").write_text("one two")
    edits = [{"oldString": "one", "newString": "1"}, {"oldString": "three", "newString": "3"}]
    said = await call("multiedit", filePath="file", edits=edits)
    assert (said.ok, "edit 2 of 2" in said.output, "No edit was made" in said.output) == (False, True, True)
    assert (call.root / "file").read_text() == "one two"


async def test_edits_at_the_same_time_are_all_made(call: Calling) -> None:
    (call.root / "file").write_text("".join(f"<{number}>" for number in range(40)))
    calls = (call("edit", filePath="file", oldString=f"<{n}>", newString=f"[{n}]") for n in range(40))
    assert all(said.ok for said in await asyncio.gather(*calls))
    assert (call.root / "file").read_text() == "".join(f"[{number}]" for number in range(40))


async def test_a_file_of_300_lines_survives_an_edit(call: Calling) -> None:
    lines = [f"\tline {n} ä '''{n}''' <<<X\r\n" if n % 3 else f"plain {n} \\t\n" for n in range(300)]
    before = "".join(lines).encode() + b"\xfe no end"
    after = await _edited(call, before, "plain 150 \\t\n", "new\n")
    assert after == before.replace(b"plain 150 \\t\n", b"new\n")
