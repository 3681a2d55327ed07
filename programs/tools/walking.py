"""The files of a workspace as one who works in it sees them: not `.git`, and not what `.gitignore` leaves out."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from programs.errors import ToolFailed
from programs.tools.globs import Ignored, is_ignored
from programs.tools.workspace import Workspace

KEPT = ".rants"
"""The folder of a workspace where RANTS keeps what is its own."""

_NEVER = {".git", ".hg", ".svn", KEPT}
_MOST_DEPTH = 64
_GITIGNORE = ".gitignore"
_LARGEST_RULES = 64 << 10


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder.

    Attributes:
        path: from the root of the workspace.
        kind: what it is; a link is not followed.
        size: in bytes.
        modified: seconds since 1970.
    """

    path: str
    kind: Literal["file", "folder", "link", "other"]
    size: int
    modified: float

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Walk:
    """The files that were found; `complete` is False where there was no time, or no patience, for all."""

    files: list[Entry]
    complete: bool


def entries(workspace: Workspace, path: str) -> list[Entry]:
    """What is in one folder, by name."""
    base = workspace.resolve(path)
    with workspace.folder(base) as folder:
        return sorted(_entries(folder, "" if base == "." else base), key=lambda entry: entry.path)


def walk(workspace: Workspace, path: str = ".", *, seconds: float = 10.0, most: int = 100_000) -> Walk:
    """All files beneath a folder, or the one file that `path` is.

    Links are not followed. What is in a folder that is left out is found when `path` is in it.

    Args:
        workspace: where to look.
        path: where to begin.
        seconds: after how long to give up.
        most: how many files to find.
    """
    base = workspace.resolve(path)
    status = workspace.stat(base)
    if status is not None and stat.S_ISREG(status.st_mode):
        return Walk([Entry(base, "file", status.st_size, status.st_mtime)], complete=True)
    names = [] if base == "." else base.split("/")
    rules = [_rules(workspace, names[:depth]) for depth in range(len(names))]
    found: list[Entry] = []
    deadline = time.monotonic() + seconds
    with workspace.folder(base) as folder:
        for entry in _files(folder, names, rules, deadline):
            if len(found) >= most:
                return Walk(found, complete=False)
            found.append(entry)
    return Walk(found, complete=time.monotonic() <= deadline)


def _entries(folder: int, base: str) -> Iterator[Entry]:
    prefix = f"{base}/" if base else ""
    with os.scandir(folder) as listing:
        for item in listing:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:  # gone since
                continue
            yield Entry(prefix + item.name, _kind(status.st_mode), status.st_size, status.st_mtime)


def _kind(mode: int) -> Literal["file", "folder", "link", "other"]:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"


def _files(folder: int, names: list[str], rules: list[Ignored], deadline: float) -> Iterator[Entry]:
    """The files beneath an open folder; one at a time, so that a caller can stop."""
    inside = list(_entries(folder, "/".join(names)))
    if any(entry.name == _GITIGNORE and entry.kind == "file" for entry in inside):
        rules = [*rules, Ignored(_text(folder), "/".join(names))]
    for entry in sorted(inside, key=lambda entry: entry.path):
        if time.monotonic() > deadline:
            return
        way = [*names, entry.name]
        if entry.name in _NEVER or is_ignored(rules, way, folder=entry.kind == "folder"):
            continue
        if entry.kind == "file":
            yield entry
        elif entry.kind == "folder" and len(names) < _MOST_DEPTH:
            try:
                inner = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError:  # gone or changed since, or not ours to read: nothing to be found there
                continue
            try:
                yield from _files(inner, way, rules, deadline)
            finally:
                os.close(inner)


def _text(folder: int) -> str:
    try:
        descriptor = os.open(_GITIGNORE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_LARGEST_RULES).decode(errors="surrogateescape")


def _rules(workspace: Workspace, names: list[str]) -> Ignored:
    """The rules of a folder above the one to be walked."""
    base = "/".join(names)
    try:
        data = workspace.read(f"{base}/{_GITIGNORE}" if base else _GITIGNORE, _LARGEST_RULES)
    except ToolFailed:  # there is none
        data = b""
    return Ignored(data.decode(errors="surrogateescape"), base)
