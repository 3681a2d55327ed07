"""`glob`, `grep` and `codesearch`: which files there are, and what is in them.

A model's regular expression may take for ever, and a search of many files long, so both happen in a process that is
ended when the time is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from programs.environment.reader import HelperFailed, Reader
from programs.errors import ToolFailed
from programs.settings import ToolSettings
from programs.tools import arguments as takes
from programs.tools.files import glob
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.tools.walking import Entry, walk
from programs.tools.workspace import Workspace
from programs.transcript import Tool

_MOST = 100
_PASSAGES = 8
_LARGEST = 16 << 20  # of a file that is searched
_BATCH = 4 << 20
_RANKED = 16 << 20  # bytes of all files that codesearch ranks, which takes them all at once
_MEMORY = 2 << 30


def search_tools(settings: ToolSettings) -> list[GatewayTool]:
    """The tools that search the workspace."""

    async def find(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await asyncio.to_thread(_glob, Workspace(caller.workspace), arguments)

    async def grep(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await _grep(Workspace(caller.workspace), arguments, settings.search_seconds)

    async def codesearch(arguments: Mapping[str, Any], caller: Caller) -> Result:
        return await _codesearch(Workspace(caller.workspace), arguments, settings.search_seconds)

    return [GatewayTool(_GLOB, find), GatewayTool(_GREP, grep), GatewayTool(_CODESEARCH, codesearch)]


_WHERE = takes.path("The folder or the file to search, relative to the workspace. Default: the whole workspace.")
_INCLUDE = takes.text("A glob of the files to search, for example `*.py` or `src/**/*.{ts,tsx}`.", 500, 1)
_GLOB = Tool(
    name="glob",
    description="Finds files by a pattern like `*.py` or `src/**/*.{ts,tsx}`; the newest come first.",
    parameters=takes.takes(
        ["pattern"],
        pattern=takes.text("The pattern; one without a slash is about names in any folder.", 500, 1),
        path=takes.path("The folder to search, relative to the workspace. Default: the whole workspace."),
    ),
)
_GREP = Tool(
    name="grep",
    description=(
        "Finds lines by a regular expression (Python's; `(?i)` ignores case), in the newest files first. What"
        " `.gitignore` leaves out is searched only when `path` names it."
    ),
    parameters=takes.takes(
        ["pattern"],
        pattern=takes.text("The regular expression.", 1000, 1),
        path=_WHERE,
        include=_INCLUDE,
    ),
)
_CODESEARCH = Tool(
    name="codesearch",
    description=(
        "Finds the passages of the workspace's files that say most about a question or some words, best first. Use it"
        " where you do not know how things are called."
    ),
    parameters=takes.takes(
        ["query"],
        query=takes.text("The question, or words and names.", 1000, 1),
        path=_WHERE,
        include=_INCLUDE,
    ),
)


def _glob(workspace: Workspace, arguments: Mapping[str, Any]) -> Result:
    found = _Selection.make(workspace, arguments.get("path", "."), arguments["pattern"])
    if not found.files:
        return Result(f"No file matches.{_notes(found.notes)}", details={"files": 0})
    rows = [entry.path for entry in islice(found.files, _MOST)]
    if len(found.files) > _MOST:
        found.notes.append(f"{len(found.files) - _MOST:,} older files are not shown; narrow the pattern or the path")
    return Result("\n".join(rows) + _notes(found.notes), details={"files": len(found.files)})


@dataclass(slots=True)
class _Selection:
    """Files, the newest first, and what there is to say about how they were found."""

    files: deque[Entry]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, workspace: Workspace, path: str, pattern: str | None) -> _Selection:
        """The files beneath `path` that the pattern, from there on, is that of."""
        wanted = glob(pattern) if pattern else None
        found = walk(workspace, path)
        base = workspace.resolve(path)
        cut = 0 if base == "." else len(base) + 1
        alone = [entry.path for entry in found.files] == [base]
        files = [
            entry
            for entry in found.files
            if wanted is None or wanted.matches(entry.name if alone else entry.path[cut:])
        ]
        files.sort(key=lambda entry: (-entry.modified, entry.path))
        return cls(deque(files), [] if found.complete else ["there are too many files; not all were looked at"])

    def take(self, workspace: Workspace, most: int) -> list[dict[str, str]]:
        """The texts of the next files, of about `most` bytes together, which are then no longer in it."""
        texts: list[dict[str, str]] = []
        size = 0
        while self.files and size < most:
            entry = self.files.popleft()
            if entry.size > _LARGEST:
                self.notes.append(f"{entry.path} is too large to search ({entry.size:,} bytes)")
                continue
            try:
                data = workspace.read(entry.path, _LARGEST)
            except ToolFailed:  # it is gone since, or not ours to read
                continue
            if b"\0" not in data[:8192]:
                size += len(data) + 1000
                texts.append({"path": entry.path, "content": data.decode(errors="replace")})
        return texts


async def _grep(workspace: Workspace, arguments: Mapping[str, Any], seconds: float) -> Result:
    found: list[tuple[str, int, str]] = []
    notes: list[str] = []
    try:
        async with asyncio.timeout(seconds), aclosing(Reader(_MEMORY)) as reader:
            files = await _select(workspace, arguments)
            notes = files.notes
            while len(found) <= _MOST and (texts := await asyncio.to_thread(files.take, workspace, _BATCH)):
                found += await _ask(reader, "find_lines", texts, arguments["pattern"], _MOST + 1 - len(found))
    except TimeoutError:
        notes.append(_too_long(seconds, "the pattern"))
    rows = [f"{path}:{number}: {line}" for path, number, line in found[:_MOST]]
    if len(found) > _MOST:
        notes.append(f"there are more than {_MOST} lines; narrow the pattern, the path or include")
    return _told(rows, "No line matches.", notes, {"lines": len(rows)})


async def _codesearch(workspace: Workspace, arguments: Mapping[str, Any], seconds: float) -> Result:
    found: list[tuple[str, int, str]] = []
    notes: list[str] = []
    try:
        async with asyncio.timeout(seconds), aclosing(Reader(_MEMORY)) as reader:
            files = await _select(workspace, arguments)
            notes = files.notes
            texts = await asyncio.to_thread(files.take, workspace, _RANKED)
            if files.files:
                notes.append(f"{len(files.files):,} older files were not searched; narrow it by path or include")
            found = await _ask(reader, "find_passages", texts, arguments["query"], _PASSAGES)
    except TimeoutError:
        notes.append(_too_long(seconds, "it"))
    rows = [f"{path}:{number}-{number + text.count('\n')}\n{text}\n" for path, number, text in found]
    return _told(rows, "Nothing is said about it.", notes, {"passages": len(rows)})


async def _select(workspace: Workspace, arguments: Mapping[str, Any]) -> _Selection:
    path, include = arguments.get("path", "."), arguments.get("include")
    return await asyncio.to_thread(_Selection.make, workspace, path, include)


async def _ask(reader: Reader, name: str, texts: list[dict[str, str]], what: str, most: int) -> Any:
    try:
        return await reader.call(name, texts, [what, most], {})
    except HelperFailed as error:
        if error.name == "PatternError":
            raise ToolFailed(f"pattern is no regular expression: {error}") from None
        raise ToolFailed(f"the search failed: {error.name}: {error}") from None


def _too_long(seconds: float, what: str) -> str:
    return f"the search was stopped after {seconds:g} seconds; make {what} simpler, or narrow it by path or include"


def _told(rows: Sequence[str], nothing: str, notes: Sequence[str], details: Mapping[str, Any]) -> Result:
    stopped = any("stopped" in note for note in notes)
    return Result(("\n".join(rows) or nothing) + _notes(notes), ok=bool(rows) or not stopped, details=details)


def _notes(notes: Sequence[str]) -> str:
    return f"\n({'; '.join(notes[:10])})" if notes else ""
