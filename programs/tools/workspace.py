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
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from io import BufferedReader
from pathlib import Path

from programs.errors import ToolFailed
from programs.tools.staging import READ, Change, Place, Staged, check_regular, commit_all, stage, told

LARGEST = 64 << 20
"""Bytes of a file that a tool reads, and works on in memory."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40
_MOST_NAMES = 256

_locks: dict[str, threading.RLock] = {}


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
        with told(path), self._locate(path) as place:
            check_regular(path, place.stat())
            with os.fdopen(os.open(place.name, READ, dir_fd=place.folder), "rb") as file:
                check_regular(path, os.fstat(file.fileno()))
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
        with told(path):
            try:
                with self._locate(path) as place:
                    return place.stat()
            except FileNotFoundError:
                return None

    def resolve(self, path: str) -> str:
        """The way from the root to what is at `path`, without links."""
        with told(path), self._locate(path) as place:
            place.stat()
            return place.path

    @contextmanager
    def folder(self, path: str) -> Iterator[int]:
        """The descriptor of an open folder."""
        with told(path), self._locate(path) as place:
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
            staged: list[Staged] = []
            for change in changes:
                stack.enter_context(told(change.path))
                place = stack.enter_context(
                    self._locate(change.path, follow=change.data is not None, make=change.data is not None)
                )
                if any(place.path == other.place.path for other in staged):
                    raise ToolFailed(f"{change.path} is changed twice; say once what it is to become")
                staged.append(stage(change, place, keep=len(changes) > 1))
                stack.callback(staged[-1].discard)
            commit_all(staged)

    @contextmanager
    def _locate(self, path: str, *, follow: bool = True, make: bool = False) -> Generator[Place]:
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
                    yield Place(folder, name, "/".join([*done, name]))
                    return
            yield Place(folder, ".", "/".join(done) or ".")
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
