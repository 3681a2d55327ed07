"""`read`, `write` and `ls`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from programs.settings import ToolSettings
from tests.programs.tools.calling import Calling

AWKWARD = "\ttab\r\nCRLF ä 😀 '''\"\"\" <<<END\n\n  >>>END \\n \x1b[0m\rno end"


@pytest.fixture
def call(tmp_path: Path) -> Calling:
    return Calling(tmp_path)


async def test_what_is_written_is_there_byte_for_byte(call: Calling) -> None:
    said = await call("write", filePath="deep/er/file.txt", content=AWKWARD)
    assert said.ok
    assert "Made deep/er/file.txt" in said.output
    assert (call.root / "deep/er/file.txt").read_bytes() == AWKWARD.encode()
    said = await call("write", filePath="deep/er/file.txt", content="")
    assert "Replaced" in said.output
    assert (call.root / "deep/er/file.txt").read_bytes() == b""


async def test_half_a_character_is_not_written(call: Calling) -> None:
    said = await call("write", filePath="file", content="ab\ud800")
    assert (said.ok, "surrogate pair at character 2" in said.output) == (False, True)
    assert not (call.root / "file").exists()


async def test_lines_are_shown_with_their_numbers(call: Calling) -> None:
    (call.root / "file").write_text("one\n\n  three\n")
    said = await call("read", filePath="file")
    assert said.output == "     1| one\n     2| \n     3|   three\n(the file ends after line 3)"


async def test_a_long_file_is_read_on_where_the_part_before_ended(call: Calling) -> None:
    (call.root / "file").write_text("".join(f"line {number}\n" for number in range(1, 5001)))
    first = await call("read", filePath="file", limit=1000)
    assert first.output.endswith("(lines 1 to 1000 of 5000; read on with `offset`: 1001)")
    part = await call("read", filePath="file", offset=4999, limit=1)
    assert part.output.startswith("  4999| line 4999\n(lines 4999 to 4999 of 5000; read on with `offset`: 5000")
    last = await call("read", filePath="file", offset=5000)
    assert last.output == "  5000| line 5000\n(the file ends after line 5000)"
    beyond = await call("read", filePath="file", offset=6000)
    assert "there is no line 6000" in beyond.output


async def test_all_parts_together_are_the_whole_file(tmp_path: Path) -> None:
    call = Calling(tmp_path, ToolSettings(output_chars=2000))
    lines = [f"{number} " + "x" * (number % 90) for number in range(1, 400)]
    (tmp_path / "file").write_text("\n".join(lines))
    seen: list[str] = []
    while len(seen) < len(lines):
        said = await call("read", filePath="file", offset=len(seen) + 1)
        assert len(said.output) <= 2000
        shown = said.output.split("\n")[:-1]
        assert shown
        seen += [row.partition("| ")[2] for row in shown]
    assert seen == lines


async def test_the_last_line_without_an_end_is_counted(call: Calling) -> None:
    (call.root / "file").write_text("one\ntwo")
    assert "lines 1 to 1 of 2" in (await call("read", filePath="file", limit=1)).output
    assert "the last line has no line end" in (await call("read", filePath="file")).output


async def test_a_line_of_a_megabyte_is_shown_in_parts(call: Calling) -> None:
    (call.root / "file").write_text("a" * 1999 + "bcd" + "e" * 1_000_000 + "\nnext\n")
    said = await call("read", filePath="file")
    assert len(said.output) < 3000
    assert said.output.startswith("     1| " + "a" * 1999 + "b ...\n     2| next\n")
    assert "see more of it with `column`: 2000" in said.output
    more = await call("read", filePath="file", limit=1, column=2000)
    assert more.output.startswith("     1| cdeee")


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"a\r\nb\r\n", "lines end with CRLF"),
        (b"a\r\nb\n", "some lines end with CRLF"),
        (b"\xef\xbb\xbfa\n", "the file begins with a byte order mark"),
        (b"gr\xfcn\n", "not UTF-8, with odd bytes shown as \\x and two digits: line 1"),
        (b"", "there is no line 1"),
    ],
)
async def test_what_cannot_be_seen_is_said(call: Calling, data: bytes, note: str) -> None:
    (call.root / "file").write_bytes(data)
    said = await call("read", filePath="file")
    assert said.ok
    assert note in said.output


async def test_a_byte_that_is_not_utf8_is_shown_as_an_escape(call: Calling) -> None:
    (call.root / "file").write_bytes(b"gr\xfcn\n")
    assert "1| gr\\xfcn\n" in (await call("read", filePath="file")).output


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image of 10 bytes"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"GIF89a", "a GIF image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x7fELF\0\0", "a binary file"),
        ("text".encode("utf-16"), "a binary file"),
    ],
)
async def test_what_is_no_text_is_told_as_such(call: Calling, data: bytes, kind: str) -> None:
    (call.root / "file").write_bytes(data)
    said = await call("read", filePath="file")
    assert (said.ok, kind in said.output) == (False, True)


async def test_a_text_that_begins_like_a_bitmap_is_a_text(call: Calling) -> None:
    (call.root / "file").write_text("BM is a word")
    assert (await call("read", filePath="file")).ok


async def test_a_name_that_is_not_there_is_told_with_those_like_it(call: Calling) -> None:
    (call.root / "src").mkdir()
    (call.root / "src" / "settings.py").touch()
    said = await call("read", filePath="src/setings.py")
    assert (said.ok, said.output) == (
        False,
        "src/setings.py: there is no such file; there is src/settings.py",
    )
    assert "nor its folder" in (await call("read", filePath="nowhere/x")).output


@pytest.mark.parametrize("name", ["read", "write", "edit"])
async def test_a_folder_or_a_fifo_in_place_of_a_file_is_an_error(call: Calling, name: str) -> None:
    (call.root / "folder").mkdir()
    os.mkfifo(call.root / "fifo")
    more = {"read": {}, "write": {"content": "x"}, "edit": {"oldString": "x", "newString": "y"}}[name]
    assert (await call(name, filePath="folder", **more)).output == "folder is a folder, not a file"
    assert (await call(name, filePath="fifo", **more)).output == "fifo is not a regular file"


async def test_ls_shows_folders_first_and_what_each_thing_is(call: Calling) -> None:
    (call.root / "b").mkdir()
    (call.root / "a").write_text("12345")
    (call.root / "c.pyc").touch()
    (call.root / "link").symlink_to("/etc")
    os.mkfifo(call.root / "pipe")
    said = await call("ls", ignore=["*.pyc"])
    assert said.output.split("\n") == [
        "b/",
        "a (5 bytes)",
        "link (a link)",
        "pipe (neither a file nor a folder)",
    ]
    assert (await call("ls", path="b")).output == "(the folder is empty)"
    assert (await call("ls", path="a")).output == "a: Not a directory"
    assert "outside of the workspace" in (await call("ls", path="link")).output


async def test_a_name_that_is_not_utf8_is_shown_as_an_escape(call: Calling) -> None:
    try:
        (call.root / os.fsdecode(b"\xff.txt")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    assert (await call("ls")).output == "\\udcff.txt (0 bytes)"
    assert (await call("glob", pattern="*")).output == "\\udcff.txt"


async def test_writes_at_the_same_time_leave_one_of_the_contents(call: Calling) -> None:
    texts = [letter * 100_000 for letter in "abcdefgh"]
    results = await asyncio.gather(*(call("write", filePath="file", content=text) for text in texts))
    assert all(result.ok for result in results)
    assert (call.root / "file").read_text() in texts
    assert [path.name for path in call.root.iterdir()] == ["file"]
