"""Changes of files, each at once and all together: the new bytes lie beside their files before the first changes."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from programs.errors import ToolFailed

# A FIFO does not block, should one be put in the file's place after it was looked at.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""How a file is opened for reading."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Change:
    """What a file is to become.

    Attributes:
        path: which file.
        data: all of its bytes; None removes it.
        mode: its permission bits; None keeps those it has, or gives a new file the usual ones.
    """

    path: str
    data: bytes | None
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder. `path` is the way there from the root, without links; the root itself is `.`."""

    folder: int
    name: str
    path: str

    def stat(self) -> os.stat_result:
        """What is there; a link is not followed."""
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class _Before:
    """A file, or the text of a link, as it was."""

    data: bytes | str
    status: os.stat_result


@dataclass(slots=True)
class Staged:
    """A change that is ready. The new bytes lie in the file `ready`; None removes what is there."""

    place: Place
    ready: str | None
    before: _Before | None

    def commit(self) -> None:
        """Make the change."""
        with told(self.place.path):
            if self.ready is None:
                os.unlink(self.place.name, dir_fd=self.place.folder)
            else:
                os.rename(self.ready, self.place.name, src_dir_fd=self.place.folder, dst_dir_fd=self.place.folder)
                self.ready = None

    def undo(self) -> None:
        """Put back what was there."""
        if self.before is None:
            os.unlink(self.place.name, dir_fd=self.place.folder)
        elif isinstance(self.before.data, str):
            os.symlink(self.before.data, self.place.name, dir_fd=self.place.folder)
        else:
            self.ready = _write_beside(self.place.folder, self.before.data, self.before.status)
            self.commit()

    def discard(self) -> None:
        """Remove what was not used."""
        if self.ready is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.ready, dir_fd=self.place.folder)


@contextmanager
def told(path: str) -> Iterator[None]:
    """What the system refuses, in its own words, with the path that the caller wrote."""
    try:
        yield
    except OSError as error:
        raise ToolFailed(f"{path}: {error.strerror or error}") from error


def check_regular(path: str, status: os.stat_result) -> None:
    """See that it is a file and nothing else.

    Raises:
        ToolFailed: it is not.
    """
    if stat.S_ISDIR(status.st_mode):
        raise ToolFailed(f"{path} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ToolFailed(f"{path} is not a regular file")


def stage(change: Change, place: Place, *, keep: bool) -> Staged:
    """Write a change's bytes beside its file; where it may have to be undone, `keep` what is there."""
    try:
        status = place.stat()
    except FileNotFoundError:
        if change.data is None:
            raise
        return Staged(place, _write_beside(place.folder, change.data, None, change.mode), None)
    if change.data is not None or stat.S_ISDIR(status.st_mode):
        check_regular(change.path, status)
    before = None
    if keep and stat.S_ISLNK(status.st_mode):
        before = _Before(os.readlink(place.name, dir_fd=place.folder), status)
    elif keep and stat.S_ISREG(status.st_mode):
        with os.fdopen(os.open(place.name, READ, dir_fd=place.folder), "rb") as file:
            before = _Before(file.read(), status)
    ready = None if change.data is None else _write_beside(place.folder, change.data, status, change.mode)
    return Staged(place, ready, before)


def _write_beside(folder: int, data: bytes, like: os.stat_result | None, mode: int | None = None) -> str:
    """A new file in the folder, safely on the disk, with the mode and the owner of `like`; gives its name."""
    name = f".rants-{secrets.token_hex(8)}.tmp"
    with os.fdopen(os.open(name, _NEW, 0o666, dir_fd=folder), "wb") as file:
        try:
            if like is not None:
                status = os.fstat(file.fileno())
                if (status.st_uid, status.st_gid) != (like.st_uid, like.st_gid):
                    with suppress(OSError):  # not everybody may give a file away, nor to everybody
                        os.fchown(file.fileno(), like.st_uid, like.st_gid)
                mode = like.st_mode if mode is None else mode
            if mode is not None:
                os.fchmod(file.fileno(), mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise
    return name


def commit_all(staged: Sequence[Staged]) -> None:
    """Make all the changes; when one fails, those before it are undone.

    Raises:
        ToolFailed: one failed.
    """
    for index, change in enumerate(staged):
        try:
            change.commit()
        except ToolFailed:
            for earlier in reversed(staged[:index]):
                earlier.undo()
            raise
    for change in staged:
        with told(change.place.path):
            os.fsync(change.place.folder)
