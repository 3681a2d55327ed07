"""Changes the modes, the owners and the times of files for a command that sees the server's mounts.

Landlock has no right for these changes, so there seccomp stops each such call and asks the warden. The warden looks up
the file itself, sees whether it lies in a folder of the command, and makes the change on what it has open: nothing can
be swapped in between, and the command's own call is never let through.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Sequence
from pathlib import Path

from . import lockdown

# (x86_64, aarch64); -1 where the machine has no such call
_CALLS = {
    "chmod": (90, -1),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, -1),
    "lchown": (94, -1),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "utimensat": (280, 88),
}
_HERE = ("x86_64", "aarch64").index(platform.machine())
ASKED = {call: numbers[_HERE] for call, numbers in _CALLS.items() if numbers[_HERE] != -1}
"""The calls that the warden is asked for, by their number here."""

_NAMES = {number: call for call, number in ASKED.items()}
_PROCESS_VM_READV = (310, 270)[_HERE]
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_AT_FDCWD, _NOFOLLOW, _EMPTY_PATH = -100, 0x100, 0x1000
_LONGEST_PATH = 4096
_PAGE = 4096


class Modes:
    """Answers what a filter asks on `listener`, for files beneath `folders` alone; those are paths without links."""

    def __init__(self, listener: int, folders: Sequence[str]) -> None:
        self.listener = listener
        self._folders = [folder.rstrip("/") + "/" for folder in folders]

    def answer(self) -> None:
        """Take one call and make it, or refuse it."""
        asked = bytearray(80)
        try:
            fcntl.ioctl(self.listener, _RECEIVE, asked)
        except OSError:
            return  # who asked was killed
        number, pid, _, call, _, _, *arguments = struct.unpack("=QIIiIQ6Q", asked)
        try:
            self._change(number, pid, _NAMES[call], arguments)
            refused = 0
        except OSError as error:
            refused = -(error.errno or errno.EPERM)
        try:
            fcntl.ioctl(self.listener, _SEND, struct.pack("=QqiI", number, 0, refused, 0))
        except OSError:
            return

    def _change(self, number: int, pid: int, call: str, arguments: list[int]) -> None:
        if call.startswith("f") and not call.startswith(("fchmodat", "fchownat")):
            base, path, values = arguments[0], 0, arguments[1:]  # of an open file
        elif call in {"chmod", "chown", "lchown"}:
            base, path, values = _AT_FDCWD, arguments[0], arguments[1:]
        else:
            base, path, values = arguments[0], arguments[1], arguments[2:]
        flags = {"lchown": _NOFOLLOW, "fchmodat2": values[1], "fchownat": values[2], "utimensat": values[1]}.get(
            call, 0
        )
        name = _text(pid, path) if path else b""
        times = _bytes(pid, values[0], 32) if call == "utimensat" and values[0] else None
        file = _open(pid, ctypes.c_int(base & 0xFFFFFFFF).value, name, flags, by_descriptor=not path)
        try:
            # Had it ended by now, all of this could be another process's.
            fcntl.ioctl(self.listener, _IS_VALID, struct.pack("=Q", number))
            here = f"/proc/self/fd/{file}"
            if not f"{Path(here).readlink()}/".startswith(tuple(self._folders)):
                raise PermissionError(errno.EPERM, "it is no file of the command")
            if "chmod" in call:
                os.chmod(here, values[0] & 0o7777)  # noqa: PTH101 - the path is that of an open file
            elif "chown" in call:
                os.chown(here, *(ctypes.c_int(value & 0xFFFFFFFF).value for value in values[:2]))
            else:
                new = ctypes.c_char_p(times) if times is not None else None
                where = ctypes.c_char_p(here.encode())
                lockdown.syscall(call, ASKED[call], ctypes.c_int(_AT_FDCWD), where, new, ctypes.c_int(0))
        finally:
            os.close(file)


def _open(pid: int, base: int, name: bytes, flags: int, *, by_descriptor: bool) -> int:
    """The file that a process means, without any right to it but to be named."""
    start = f"/proc/{pid}/cwd" if base == _AT_FDCWD else f"/proc/{pid}/fd/{base}"
    if not name:
        if not by_descriptor and not flags & _EMPTY_PATH:
            raise FileNotFoundError(errno.ENOENT, "an empty path")
        return os.open(start, os.O_PATH)
    for own in (b"/proc/self/", b"/proc/thread-self/"):
        if name.startswith(own):  # its self, not ours: so libc names a file that it has open
            name = f"/proc/{pid}/".encode() + name.removeprefix(own)
    mode = os.O_PATH | (os.O_NOFOLLOW if flags & _NOFOLLOW else 0)
    if name.startswith(b"/"):
        return os.open(name, mode)
    folder = os.open(start, os.O_PATH | os.O_DIRECTORY)
    try:
        return os.open(name, mode, dir_fd=folder)
    finally:
        os.close(folder)


def _text(pid: int, address: int) -> bytes:
    """The text, up to its NUL, in a process's memory."""
    text = b""
    while len(text) < _LONGEST_PATH:
        part = _bytes(pid, address, _PAGE - address % _PAGE)  # the next page may not be there
        end, nul, _ = part.partition(b"\0")
        text += end
        if nul:
            return text
        address += len(part)
    raise OSError(errno.ENAMETOOLONG, "a path that is too long")


def _bytes(pid: int, address: int, size: int) -> bytes:
    """Bytes of a process's memory."""
    buffer = ctypes.create_string_buffer(size)
    ours = ctypes.c_char_p(struct.pack("=QQ", ctypes.addressof(buffer), size))
    theirs = ctypes.c_char_p(struct.pack("=QQ", address, size))
    one = ctypes.c_ulong(1)
    nothing = ctypes.c_ulong(0)
    read = lockdown.syscall("process_vm_readv", _PROCESS_VM_READV, ctypes.c_int(pid), ours, one, theirs, one, nothing)
    if read != size:
        raise OSError(errno.EFAULT, "memory that is not there")
    return buffer.raw
