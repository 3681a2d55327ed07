"""`edit`, `multiedit` and `patch`: parts of files are replaced, and every other byte stays what it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from programs.errors import ToolFailed
from programs.tools import arguments as takes
from programs.tools.files import encoded
from programs.tools.patches import read_patch
from programs.tools.patching import changes_of
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.tools.workspace import LARGEST, Workspace
from programs.transcript import Tool

_MOST_EDITS = 100
_NUMBERED = re.compile(r"\s*\d+\| ?")


def edit_tools() -> list[GatewayTool]:
    """The tools that change parts of files."""

    async def edit(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_edit, Workspace(caller.workspace), arguments["filePath"], [arguments])

    async def multiedit(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_edit, Workspace(caller.workspace), arguments["filePath"], arguments["edits"])

    async def patch(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_patch, Workspace(caller.workspace), arguments["patchText"])

    return [
        GatewayTool(_EDIT, edit, changes=True),
        GatewayTool(_MULTIEDIT, multiedit, changes=True),
        GatewayTool(_PATCH, patch, changes=True),
    ]


_REPLACEMENT = {
    "oldString": takes.text("The text to replace, exactly as the file has it; empty for a new file.", takes.MOST_TEXT),
    "newString": takes.text("The text to put in its place.", takes.MOST_TEXT),
    "replaceAll": takes.flag("Replace it wherever it is. Default: it must be there once."),
}
_EDIT = Tool(
    name="edit",
    description=(
        "Replaces a text in a file by another. `oldString` must be exactly what the file has, with its indentation, and"
        " be there once: take in the lines around it, or say `replaceAll`."
    ),
    parameters=takes.takes(
        ["filePath", "oldString", "newString"],
        filePath=takes.path("The file, relative to the workspace."),
        **_REPLACEMENT,
    ),
)
_MULTIEDIT = Tool(
    name="multiedit",
    description=(
        "Makes several replacements in one file, in their order, each as `edit` does and on what the ones before left."
        " If one fails, none is made."
    ),
    parameters=takes.takes(
        ["filePath", "edits"],
        filePath=takes.path("The file, relative to the workspace."),
        edits=takes.listed("The replacements.", takes.takes(["oldString", "newString"], **_REPLACEMENT), _MOST_EDITS),
    ),
)
_PATCH = Tool(
    name="patch",
    description=(
        "Applies a patch to files: a unified diff, or the form that begins with `*** Begin Patch` and has `*** Add"
        " File:`, `*** Update File:` (and `*** Move to:`) or `*** Delete File:` for each file. If a part does not fit,"
        " no file is changed."
    ),
    parameters=takes.takes(["patchText"], patchText=takes.text("The patch.", takes.MOST_TEXT, 1)),
)


def _edit(workspace: Workspace, path: str, edits: Sequence[Mapping[str, Any]]) -> Result:
    with workspace.alone():
        new = workspace.stat(path) is None
        if new and edits[0]["oldString"]:
            raise ToolFailed(f"{path}: there is no such file; write makes it")
        # What is not UTF-8 becomes lone surrogates, which an argument cannot hold, and then the same bytes again.
        text = "" if new else workspace.read(path).decode(errors="surrogateescape")
        done: list[str] = []
        for number, edit in enumerate(edits, 1):
            try:
                text, where = _replaced(text, edit)
            except ToolFailed as error:
                which = f"edit {number} of {len(edits)}: " if len(edits) > 1 else ""
                none = " No edit was made." if len(edits) > 1 else ""
                raise ToolFailed(f"{path}: {which}{error}{none}") from None
            done.append(where)
        workspace.write(path, text.encode(errors="surrogateescape"))
    return Result(f"{'Made' if new else 'Changed'} {path}: {'; '.join(done)}.", details={"path": path})


def _replaced(text: str, edit: Mapping[str, Any]) -> tuple[str, str]:
    """`text` after an edit, and where that was made."""
    old, new = edit["oldString"], edit["newString"]
    encoded(old, "oldString")
    encoded(new, "newString")
    if old == new:
        raise ToolFailed("oldString and newString are the same")
    if not old:
        if text:
            raise ToolFailed("oldString is empty, which is for a new file; say what to replace, or use write")
        return new, "all of it"
    if "\r\n" in text and "\n" not in text.replace("\r\n", ""):
        # All lines end with CRLF, and models write LF.
        old, new = (re.sub(r"(?<!\r)\n", "\r\n", part) for part in (old, new))
    count = text.count(old)
    if count == 0:
        raise ToolFailed(f"oldString is not in the file{_hint(text, edit['oldString'])}")
    lines = ", ".join(str(line) for line in islice(_lines_of(text, old), 10)) + (", ..." if count > 10 else "")
    if count > 1 and not edit.get("replaceAll", False):
        raise ToolFailed(
            f"oldString is there {count} times (lines {lines}); take in the lines around the one that is meant, or say"
            " replaceAll"
        )
    if len(text) + count * (len(new) - len(old)) > LARGEST:
        raise ToolFailed(f"the file would become longer than {LARGEST:,} characters")
    return text.replace(old, new), f"line {lines}" if count == 1 else f"{count} places (lines {lines})"


def _lines_of(text: str, part: str) -> Iterator[int]:
    """The number of each line that `part` begins in."""
    line, seen, at = 1, 0, text.find(part)
    while at >= 0:
        line += text.count("\n", seen, at)
        yield line
        seen, at = at, text.find(part, at + len(part))


def _hint(text: str, old: str) -> str:
    """What a text that is not there may have been meant to be."""
    wanted = old.strip("\n").split("\n")
    if all(_NUMBERED.match(line) for line in wanted):
        return "; leave out the line numbers that read shows"
    bare = [" ".join(line.split()) for line in wanted]
    there = text.split("\n")
    lines = [" ".join(line.split()) for line in there]
    for index, line in enumerate(lines):
        if line == bare[0] and lines[index : index + len(bare)] == bare and any(bare):
            shown = "\n".join(there[index : index + len(bare)])[:2000]
            return f"; line {index + 1} and what follows differ from it in white space only:\n{shown}"
    if bare[0] and bare[0] in lines:
        return f"; its first line is line {lines.index(bare[0]) + 1}, but what follows there is not the same"
    return "; read the file again"


def _patch(workspace: Workspace, text: str) -> Result:
    encoded(text, "patchText")
    with workspace.alone():
        changes, done = changes_of(workspace, read_patch(text))
        workspace.change(changes)
    return Result("\n".join(done), details={"files": [change.path for change in changes]})
