"""The warm process that guests are forked from.

It is started by exec with an empty environment before it can know a secret, loads the standard library, leaves root
where it can, enters namespaces where it may, and then forks one guest for each message on its control socket. A
message brings two descriptors: the guest's end of its session's socket, and a file with the context. The zygote never
looks into either; it answers on the session's socket with a pidfd and forgets both.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import signal
import socket
import sys
import threading
import warnings

from . import guest, lockdown

# Parts for a screen, for a person, for other systems, and jokes.
_LEFT_OUT = {
    "__main__", "__phello__", "_aix_support", "_android_support", "_ios_support", "_osx_support", "_winapi",
    "antigravity", "curses", "ensurepip", "idlelib", "lib2to3", "msvcrt", "nt", "nturl2path", "pip", "pty",
    "pydoc_data", "readline", "rlcompleter", "test", "this", "tkinter", "turtle", "turtledemo", "venv",
    "webbrowser", "winreg", "winsound",
}  # fmt: skip
# Packages whose parts are loaded too, those that would otherwise be when they are first needed.
_WHOLE = (
    "asyncio", "collections", "concurrent", "ctypes", "email", "encodings", "html", "importlib", "json",
    "logging", "multiprocessing", "os", "re", "sqlite3", "string", "sysconfig", "unittest", "urllib", "wsgiref",
    "xml", "zipfile", "zoneinfo",
)  # fmt: skip


def preload() -> None:
    """Import the standard library: a guest can open no file, so what is not loaded is not there."""
    names = [name for name in sys.stdlib_module_names if name not in _LEFT_OUT]
    for package in _WHOLE:
        path = getattr(importlib.import_module(package), "__path__", None)
        if path:
            names += [part.name for part in pkgutil.walk_packages(path, package + ".", onerror=lambda _: None)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(names):
            if name.endswith(".__main__"):
                continue
            # Some parts belong to other systems, or want a library that this one lacks; a guest does without them.
            with contextlib.suppress(ImportError, AttributeError):
                importlib.import_module(name)


def main(descriptor: int) -> None:
    """Run until the control socket, `descriptor`, closes."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        landlock = lockdown.landlock_version()
        program = lockdown.seccomp_program()
        preload()
        lockdown.forget_environment()
        lockdown.one_arena()
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor for each guest
        threading.stack_size(lockdown.STACK_BYTES)
        user = lockdown.become_nobody()
        namespaces = lockdown.namespaces_allowed()
        if namespaces:
            lockdown.enter_namespaces()
            inner = os.fork()
            if inner:
                control.close()
                os.waitpid(inner, 0)
                return
            # Not otherwise: the kernel would mean the server's thread that started us, which may end at any time.
            lockdown.die_with_parent()
    except OSError as error:
        control.sendall(json.dumps({"failed": str(error)}).encode())
        return
    gc.collect()
    gc.freeze()  # the pages of what is loaded stay shared with every guest
    layers = {"landlock": landlock, "namespaces": namespaces, "other_user": user}
    control.sendall(json.dumps({"layers": layers}).encode())
    _serve(control, guest.Cage(program=program, landlock=landlock, namespaces=namespaces))


def _serve(control: socket.socket, cage: guest.Cage) -> None:
    own_table = os.open("/proc/self/ns/pid", os.O_RDONLY) if cage.namespaces else -1
    poll = select.poll()
    poll.register(control, select.POLLIN)
    children: dict[int, int] = {}  # pidfd -> pid
    while True:
        for descriptor, _ in poll.poll():
            if descriptor in children:
                poll.unregister(descriptor)
                os.close(descriptor)
                os.waitpid(children.pop(descriptor), 0)
                continue
            message, received, _, _ = socket.recv_fds(control, 64, 2)
            if not message:
                os._exit(0)
            # A failure costs the one session, whose socket then closes, and not the others.
            with contextlib.suppress(OSError, ValueError):
                session, context = received
                pidfd, pid = _fork(session, context, cage, own_table)
                children[pidfd] = pid
                poll.register(pidfd, select.POLLIN)
                with socket.socket(fileno=os.dup(session)) as end:
                    socket.send_fds(end, [b"p"], [pidfd])
            for each in received:
                os.close(each)


def _fork(session: int, context: int, cage: guest.Cage, own_table: int) -> tuple[int, int]:
    """A guest, in a process table of its own where that may be: its pidfd and its number here."""
    if cage.namespaces:
        os.unshare(os.CLONE_NEWPID)
    try:
        pid = os.fork()
        if not pid:
            guest.main(session, context, cage)
    finally:
        if cage.namespaces:
            os.setns(own_table, os.CLONE_NEWPID)
    try:
        return os.pidfd_open(pid), pid
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
