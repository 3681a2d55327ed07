"""The jail's self-test: code for a guest that tries what must fail, and says of each whether it was denied."""

from __future__ import annotations

PROBES = (
    "open a file",
    "read /proc",
    "list a directory",
    "make a socket",
    "fork",
    "exec",
    "signal the server",
    "ptrace the server",
    "read the server's memory",
    "make an io_uring",
    "make a namespace",
    "map executable memory",
)

_SOURCE = """
import ctypes, mmap, os, signal, socket
libc = ctypes.CDLL(None, use_errno=True)
told = {{}}

def syscall(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def fork():
    if os.fork() == 0:
        os._exit(0)

def attempt(name, action):
    try:
        action()
    except (OSError, ValueError) as error:
        told[name] = "denied" if isinstance(error, PermissionError) else f"failed, but not as denied ({{error!r}})"
    else:
        told[name] = "it got through"

ptrace, readv = {{"x86_64": (101, 310), "aarch64": (117, 270)}}["{machine}"]
attempt("open a file", lambda: open("/etc/passwd"))
attempt("read /proc", lambda: os.open("/proc/self/environ", os.O_RDONLY))
attempt("list a directory", lambda: os.listdir("/"))
attempt("make a socket", lambda: socket.socket(socket.AF_UNIX))
attempt("fork", fork)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("signal the server", lambda: os.kill({server}, 0))
attempt("ptrace the server", lambda: syscall(ptrace, 16, {server}, 0, 0))
attempt("read the server's memory", lambda: syscall(readv, {server}, 0, 0, 0, 0, 0))
attempt("make an io_uring", lambda: syscall(425, 1, 0))
attempt("make a namespace", lambda: os.unshare(os.CLONE_NEWUSER))
attempt("map executable memory", lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC))
SUBMIT(told)
"""


def self_test(server: int, machine: str) -> str:
    """Code that tries every one of `PROBES`, against the process `server`, and submits what came of each."""
    return _SOURCE.format(server=server, machine=machine)
