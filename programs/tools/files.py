"""`read`, `write` and `ls`: files as they are, byte for byte."""

from __future__ import annotations

import asyncio
import difflib
import os
import posixpath
from collections import deque
from collections.abc import Mapping
from io import BufferedReader
from itertools import islice
from typing import Any

from programs.errors import ToolFailed
from programs.settings import ToolSettings
from programs.tools import arguments as takes
from programs.tools.globs import Glob
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.tools.walking import Entry, entries
from programs.tools.workspace import LARGEST, Workspace
from programs.transcript import Tool

_LINES = 2000
_LINE_CHARS = 2000
_MOST_ENTRIES = 1000
_BOM = b"\xef\xbb\xbf"
_IMAGES = {
    b"\x89PNG\r\n\x1a\n": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"%PDF-": "a PDF",
}


def file_tools(settings: ToolSettings) -> list[GatewayTool]:
    """The tools that read, write and list files. `read` shows at most what an output may have."""
    most = max(1000, settings.output_chars - 500)

    async def read(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_read, Workspace(caller.workspace), arguments, most)

    async def write(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_write, Workspace(caller.workspace), arguments)

    async def ls(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_ls, Workspace(caller.workspace), arguments)

    return [GatewayTool(_READ, read), GatewayTool(_WRITE, write, changes=True), GatewayTool(_LS, ls)]


_READ = Tool(
    name="read",
    description=(
        "Reads a text file. Each line is shown behind its number and a bar, which are no part of the file. A long file"
        " is shown in parts: read on with `offset`."
    ),
    parameters=takes.takes(
        ["filePath"],
        filePath=takes.path("The file, relative to the workspace."),
        offset=takes.number("The number of the first line to show. Default 1.", 0, 10**9),
        limit=takes.number(f"How many lines to show. Default {_LINES}.", 1, 10**9),
        column=takes.number("From which character on to show the lines: where one is too long. Default 0.", 0, 10**9),
    ),
)
_WRITE = Tool(
    name="write",
    description="Writes a file, exactly as `content` is. What was in it before is replaced; missing folders are made.",
    parameters=takes.takes(
        ["filePath", "content"],
        filePath=takes.path("The file, relative to the workspace."),
        content=takes.text("All that the file is to hold.", takes.MOST_TEXT),
    ),
)
_LS = Tool(
    name="ls",
    description="Lists what is in a folder. Use `glob` to find files in folders below it.",
    parameters=takes.takes(
        path=takes.path("The folder, relative to the workspace. Default: the workspace itself."),
        ignore=takes.listed("Globs of what not to list.", takes.text("A glob.", 200, 1), 50, 0),
    ),
)


def encoded(text: str, name: str) -> bytes:
    """The bytes of an argument.

    Raises:
        ToolFailed: half a character is in it.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ToolFailed(f"{name} holds half a surrogate pair at character {error.start}, which no file can") from None


def _read(workspace: Workspace, arguments: Mapping[str, Any], most: int) -> Result:
    path: str = arguments["filePath"]
    _check_is_there(workspace, path)
    with workspace.open(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise ToolFailed(f"{path} has {size:,} bytes, too many to read; find what you need in it with grep")
        if (kind := _kind(file.peek(8192))) is not None:
            return Result(f"{path} is {kind} of {size:,} bytes and cannot be read as text.", ok=False)
        return _shown(file, arguments, most)


def _check_is_there(workspace: Workspace, path: str) -> None:
    if workspace.stat(path) is not None:
        return
    folder, name = posixpath.split(path)
    try:
        names = [entry.name for entry in entries(workspace, folder or ".")]
    except ToolFailed:
        raise ToolFailed(f"{path}: there is no such file, nor its folder") from None
    near = difflib.get_close_matches(name, names[:5000], n=3)
    there = f"; there is {' and '.join(posixpath.join(folder, one) for one in near)}" if near else ""
    raise ToolFailed(f"{path}: there is no such file{there}")


def _kind(head: bytes) -> str | None:
    """What a file is that is no text; None for text."""
    for magic, kind in _IMAGES.items():
        if head.startswith(magic) and (len(magic) > 2 or b"\0" in head):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    return "a binary file" if b"\0" in head else None


def _shown(file: BufferedReader, arguments: Mapping[str, Any], most: int) -> Result:
    first = max(1, int(arguments.get("offset", 1)))
    limit, column = int(arguments.get("limit", _LINES)), int(arguments.get("column", 0))
    deque(islice(file, first - 1), maxlen=0)  # skips them as fast as a file can be read
    rows: list[str] = []
    taken: list[bytes] = []
    chars = longest = left = 0
    for number, line in enumerate(islice(file, limit), first):
        words = line.removeprefix(_BOM if number == 1 else b"").rstrip(b"\r\n").decode(errors="backslashreplace")
        row = f"{number:>6}| {words[column : column + _LINE_CHARS]}"
        if len(words) > column + _LINE_CHARS:
            longest = max(longest, len(words))
            row += " ..."
        if chars + len(row) > most and rows:
            left = 1
            break
        chars += len(row) + 1
        rows.append(row)
        taken.append(line)
    last = first + len(rows) - 1
    left += _count_lines(file)
    notes = _oddities(taken, first)
    if longest:
        notes.append(f"a line has {longest:,} characters; see more of it with `column`: {column + _LINE_CHARS}")
    if left:
        notes.append(f"lines {first} to {last} of {last + left}; read on with `offset`: {last + 1}")
    else:
        notes.append(f"the file ends after line {last}" if rows else f"there is no line {first}: the file ends before")
    return Result("\n".join([*rows, f"({'; '.join(notes)})"]), details={"first": first, "last": last})


def _count_lines(file: BufferedReader) -> int:
    """How many lines are left in a file."""
    count, last = 0, b"\n"
    while chunk := file.read(1 << 20):
        count += chunk.count(b"\n")
        last = chunk[-1:]
    return count + (last != b"\n")


def _oddities(lines: list[bytes], first: int) -> list[str]:
    """What cannot be seen of lines, where the first of them has the number `first`."""
    notes = []
    if first == 1 and lines and lines[0].startswith(_BOM):
        notes.append("the file begins with a byte order mark")
    ends = {line[len(line.rstrip(b"\r\n")) :] for line in lines if line.endswith(b"\n")}
    if b"\r\n" in ends:
        notes.append("lines end with CRLF" if len(ends) == 1 else "some lines end with CRLF")
    if lines and not lines[-1].endswith(b"\n"):
        notes.append("the last line has no line end")
    if odd := [number for number, line in enumerate(lines, first) if not _is_utf8(line)]:
        some = ", ".join(str(number) for number in odd[:10])
        notes.append(f"not UTF-8, with odd bytes shown as \\x and two digits: line {some}")
    return notes


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _write(workspace: Workspace, arguments: Mapping[str, Any]) -> Result:
    path, data = arguments["filePath"], encoded(arguments["content"], "content")
    with workspace.alone():
        before = workspace.stat(path)
        workspace.write(path, data)
    said = "Made" if before is None else "Replaced"
    return Result(f"{said} {path}: {len(data):,} bytes, {lines_in(arguments['content'])}.", details={"path": path})


def lines_in(text: str) -> str:
    """How many lines a text has, in words."""
    count = text.count("\n") + bool(text and not text.endswith("\n"))
    return "1 line" if count == 1 else f"{count:,} lines"


def _ls(workspace: Workspace, arguments: Mapping[str, Any]) -> Result:
    path = arguments.get("path", ".")
    globs = [glob(pattern) for pattern in arguments.get("ignore", ())]
    found = [entry for entry in entries(workspace, path) if not any(one.matches(entry.name) for one in globs)]
    found.sort(key=lambda entry: (entry.kind != "folder", entry.name))
    rows = [_row(entry) for entry in found[:_MOST_ENTRIES]]
    if len(found) > _MOST_ENTRIES:
        rows.append(f"(and {len(found) - _MOST_ENTRIES:,} more: use glob)")
    return Result("\n".join(rows) or "(the folder is empty)", details={"entries": len(found)})


def glob(pattern: str) -> Glob:
    """The glob that an argument says.

    Raises:
        ToolFailed: it is none.
    """
    try:
        return Glob(pattern)
    except ValueError as error:
        raise ToolFailed(str(error)) from None


def _row(entry: Entry) -> str:
    match entry.kind:
        case "folder":
            return f"{entry.name}/"
        case "file":
            return f"{entry.name} ({entry.size:,} bytes)"
        case "link":
            return f"{entry.name} (a link)"
        case _:
            return f"{entry.name} (neither a file nor a folder)"
