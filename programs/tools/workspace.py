"""The folder that tools may touch, and nothing outside of it.

A path is walked from the root, one name after another, each opened relative to the folder before and never through a
symlink. A link's text is read and walked in its place, from where the link stands, so links within the workspace work
and one that leads out is an error. Whatever is swapped between two looks, an open folder stays the one it was.

    path ─> names ─> open folder ─> open folder ─> (folder, name)     opened, written or removed with O_NOFOLLOW

It works with the calls that Linux and macOS share. All of it blocks: executors call it in a thread.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BufferedReader
from pathlib import Path

from programs.errors import ToolFailed

LARGEST = 64 << 20
"""Bytes of a file that a tool reads, and works on in memory."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A FIFO does not block, should one be put in the file's place after it was looked at.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
_MOST_NAMES = 256

_locks: dict[str, threading.RLock] = {}


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
class _Place:
    """A name in an open folder. `path` is the way there from the root, without links; the root itself is `.`."""

    folder: int
    name: str
    path: str

    def stat(self) -> os.stat_result:
        return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class _Before:
    """A file, or the text of a link, as it was."""

    data: bytes | str
    status: os.stat_result


@dataclass(slots=True)
class _Staged:
    """A change that is ready. The new bytes lie in the file `ready`; None removes what is there."""

    place: _Place
    ready: str | None
    before: _Before | None

    def commit(self) -> None:
        with _told(self.place.path):
            if self.ready is None:
                os.unlink(self.place.name, dir_fd=self.place.folder)
            else:
                os.rename(self.ready, self.place.name, src_dir_fd=self.place.folder, dst_dir_fd=self.place.folder)
                self.ready = None

    def undo(self) -> None:
        if self.before is None:
            os.unlink(self.place.name, dir_fd=self.place.folder)
        elif isinstance(self.before.data, str):
            os.symlink(self.before.data, self.place.name, dir_fd=self.place.folder)
        else:
            self.ready = _write_beside(self.place.folder, self.before.data, self.before.status)
            self.commit()

    def discard(self) -> None:
        if self.ready is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.ready, dir_fd=self.place.folder)


class Workspace:
    """Files beneath one folder. It is cheap to make: it holds nothing open.

    Paths are relative to the root; absolute ones are taken where they lie beneath it. Everything that fails is a
    `ToolFailed` which names the path.

    Args:
        root: the folder; made when it is first needed.
    """

    def __init__(self, root: Path) -> None:
        self._given = str(root.absolute())
        self.root = Path(os.path.realpath(root))
        self._lock = _locks.setdefault(str(self.root), threading.RLock())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other tool of this process changes the workspace meanwhile: for reading a file and writing it again."""
        with self._lock:
            yield

    @contextmanager
    def open(self, path: str) -> Iterator[BufferedReader]:
        """A regular file, for reading."""
        with _told(path), self._locate(path) as place:
            _check_regular(path, place.stat())
            with os.fdopen(os.open(place.name, _READ, dir_fd=place.folder), "rb") as file:
                _check_regular(path, os.fstat(file.fileno()))
                yield file

    def read(self, path: str, most: int = LARGEST) -> bytes:
        """All of a file; one of more than `most` bytes is refused."""
        with self.open(path) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise ToolFailed(f"{path} has more than {most:,} bytes; that is too much to work on at once")
        return data

    def stat(self, path: str) -> os.stat_result | None:
        """What is at `path`, links followed; None where nothing is."""
        with _told(path):
            try:
                with self._locate(path) as place:
                    return place.stat()
            except FileNotFoundError:
                return None

    def resolve(self, path: str) -> str:
        """The way from the root to what is at `path`, without links."""
        with _told(path), self._locate(path) as place:
            place.stat()
            return place.path

    @contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """The descriptor of an open folder."""
        with _told(path), self._locate(path) as place:
            descriptor = os.open(place.name, _FOLDER, dir_fd=place.folder)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def write(self, path: str, data: bytes) -> None:
        """Put `data` into the file at once: a reader sees the old bytes or the new ones. Parents are made."""
        self.change([Change(path, data)])

    def change(self, changes: Sequence[Change]) -> None:
        """Make all the changes or none; each file changes at once.

        All bytes are written beside their files before the first file changes, so that a full disk or a refused
        permission leaves things as they were. What fails after that is undone; a crash in that moment is not.
        """
        with self._lock, ExitStack() as stack:
            staged: list[_Staged] = []
            for change in changes:
                stack.enter_context(_told(change.path))
                place = stack.enter_context(
                    self._locate(change.path, follow=change.data is not None, make=change.data is not None)
                )
                if any(place.path == other.place.path for other in staged):
                    raise ToolFailed(f"{change.path} is changed twice; say once what it is to become")
                staged.append(_stage(change, place, keep=len(changes) > 1))
                stack.callback(staged[-1].discard)
            _commit(staged)

    @contextmanager
    def _locate(self, path: str, *, follow: bool = True, make: bool = False) -> Generator[_Place]:
        """Where `path` leads. A link at its end is followed, unless `follow` is False; `make` makes missing folders."""
        steps = self._steps(path, path)
        done: list[str] = []
        folder = self._open_root()
        links = 0
        try:
            while steps:
                name = steps.pop()
                if name == "..":
                    if not done:
                        raise _outside(path)
                    done.pop()
                    folder = self._again(folder, done)
                    continue
                target = _link(folder, name) if steps or follow else None
                if target is not None:
                    links += 1
                    steps += self._steps(target, path)
                    if links > _MOST_LINKS or len(steps) > _MOST_NAMES:
                        raise ToolFailed(f"{path} leads through too many links")
                    if os.path.isabs(target):  # noqa: PTH117
                        done.clear()
                        folder = self._again(folder, done)
                elif steps:
                    folder = _into(folder, name, make=make)
                    done.append(name)
                else:
                    yield _Place(folder, name, "/".join([*done, name]))
                    return
            yield _Place(folder, ".", "/".join(done) or ".")
        finally:
            os.close(folder)

    def _steps(self, text: str, path: str) -> list[str]:
        """The names to walk, the first one last; `path` is what a caller wrote."""
        try:
            if b"\0" in os.fsencode(text):
                raise ToolFailed("a path cannot hold a NUL character")
        except UnicodeEncodeError:
            raise ToolFailed("a path cannot hold half a surrogate pair") from None
        if os.path.isabs(text):  # noqa: PTH117
            roots = (root for root in (str(self.root), self._given) if f"{text}/".startswith(f"{root.rstrip('/')}/"))
            if (root := next(roots, None)) is None:
                raise _outside(path)
            text = text[len(root) :]
        names = [name for name in text.split("/") if name not in {"", "."}]
        if len(names) > _MOST_NAMES:
            raise ToolFailed(f"the path has more than {_MOST_NAMES} names")
        return names[::-1]

    def _open_root(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            return os.open(self.root, flags)
        except FileNotFoundError:
            self.root.mkdir(parents=True, exist_ok=True)
            return os.open(self.root, flags)

    def _again(self, folder: int, names: Sequence[str]) -> int:
        """Another way down: closes `folder` and opens the one that `names` lead to from the root."""
        other = self._open_root()
        try:
            for name in names:
                other = _into(other, name)
        except BaseException:
            os.close(other)
            raise
        os.close(folder)
        return other


def tenant_folder(root: Path, tenant: str) -> Path:
    """A tenant's own workspace beneath `root`. Two never share one, whatever their names and the file system."""
    readable = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in tenant[:40])
    return root / f"{readable}-{sha256(tenant.encode()).hexdigest()[:16]}"


def _outside(path: str) -> ToolFailed:
    return ToolFailed(f"{path} is outside of the workspace; paths are relative to its root")


@contextmanager
def _told(path: str) -> Iterator[None]:
    """What the system refuses, in its own words, with the path that the caller wrote."""
    try:
        yield
    except OSError as error:
        raise ToolFailed(f"{path}: {error.strerror or error}") from error


def _link(folder: int, name: str) -> str | None:
    """The text of a symlink; None for what is none, or is not there."""
    try:
        return os.readlink(name, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is no link
            return None
        raise


def _into(folder: int, name: str, *, make: bool = False) -> int:
    """Open a folder's folder, and close the first; on an error that stays open."""
    try:
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
        inner = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return inner


def _check_regular(path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ToolFailed(f"{path} is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ToolFailed(f"{path} is not a regular file")


def _stage(change: Change, place: _Place, *, keep: bool) -> _Staged:
    """Write a change's bytes beside its file; where it may have to be undone, `keep` what is there."""
    try:
        status = place.stat()
    except FileNotFoundError:
        if change.data is None:
            raise
        return _Staged(place, _write_beside(place.folder, change.data, None, change.mode), None)
    if change.data is not None or stat.S_ISDIR(status.st_mode):
        _check_regular(change.path, status)
    before = None
    if keep and stat.S_ISLNK(status.st_mode):
        before = _Before(os.readlink(place.name, dir_fd=place.folder), status)
    elif keep and stat.S_ISREG(status.st_mode):
        with os.fdopen(os.open(place.name, _READ, dir_fd=place.folder), "rb") as file:
            before = _Before(file.read(), status)
    ready = None if change.data is None else _write_beside(place.folder, change.data, status, change.mode)
    return _Staged(place, ready, before)


def _write_beside(folder: int, data: bytes, like: os.stat_result | None, mode: int | None = None) -> str:
    """A new file in the folder, safely on the disk, with the mode and the owner of `like`; gives its name."""
    name = f".rants-{secrets.token_hex(8)}.tmp"
    with os.fdopen(os.open(name, _NEW, 0o666, dir_fd=folder), "wb") as file:
        try:
            if like is not None:
                with suppress(PermissionError):
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


def _commit(staged: Sequence[_Staged]) -> None:
    for index, change in enumerate(staged):
        try:
            change.commit()
        except ToolFailed:
            for earlier in reversed(staged[:index]):
                earlier.undo()
            raise
    for change in staged:
        with _told(change.place.path):
            os.fsync(change.place.folder)
