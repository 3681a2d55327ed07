"""The process that runs one command line: it builds the walls, starts bash behind them, and leaves nobody behind.

    server --stdin: the order, then silence--> launcher --fork--> warden --fork--> bash --> whatever it starts
           <--stdout: what bash prints--------------------------------------------+
           <--stderr: one line of JSON, how it ended-------- warden

The order is a line of JSON. When stdin closes, because the command was cancelled, took too long, or the server is no
more, the warden kills everything; so it does when bash has ended. In an own process table the warden is its init, and
its end is everybody's. Without one it adopts what loses its parent, and Landlock lets its signals reach no others.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from . import lockdown, modes, walls

_PR_SET_CHILD_SUBREAPER = 36
_SCOPED_SIGNALS = 6  # the Landlock version
_LOOK_SECONDS = 0.02
_NO_OTHER = "without namespaces Linux 6.12 is needed (Landlock version 6), and this one has version {}"


def main() -> NoReturn:
    """Run the order that stands on stdin, and end with this process."""
    order = json.loads(_line(0))
    try:
        if order["own_table"]:
            lockdown.enter_namespaces(_namespaces(network=order["network"]), user=os.geteuid(), group=os.getegid())
            warden = os.fork()
            if warden:
                os.closerange(0, 3)  # else the server would wait for us to close them
                os.waitpid(warden, 0)
                os._exit(0)
            lockdown.die_with_parent()
        _guard(order)
    except OSError as error:
        _tell({"failed": str(error)})
    finally:
        os._exit(1)


def _line(descriptor: int) -> bytes:
    """Read up to the end of the line and not beyond."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(descriptor, 1 << 16)
        if not part:
            os._exit(1)  # the server is gone
        line += part
    return line


def _tell(said: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        os.write(2, json.dumps(said).encode() + b"\n")


def _namespaces(*, network: bool) -> int:
    return lockdown.NAMESPACES & ~os.CLONE_NEWNET if network else lockdown.NAMESPACES


def _guard(order: dict[str, Any]) -> None:
    """Be the warden."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    landlock = lockdown.landlock_version()
    workspace, scratch, own_table = order["workspace"], order["scratch"], order["own_table"]
    proc = False
    if own_table:
        proc = walls.mount_read_only(workspace, scratch)
        scratch = "/tmp"  # noqa: S108 - private by now
    else:
        if landlock < _SCOPED_SIGNALS:
            raise OSError(_NO_OTHER.format(landlock))
        lockdown.prctl("prctl(CHILD_SUBREAPER)", _PR_SET_CHILD_SUBREAPER, 1)
    walled = _Walls(
        landlock,
        list(walls.grants(landlock, readable=order["readable"], writable=[workspace, scratch], proc=proc)),
        walls.seccomp_program(network=order["network"], own_table=own_table),
        network=order["network"],
        asks=not own_table,
    )
    folders = [os.path.realpath(folder) for folder in (workspace, scratch)]
    table = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    others = 0 if own_table or os.geteuid() == 0 else _threads_of_this_user()
    with _first_to_go():
        lockdown.hide_from_siblings()
        lockdown.drop_capabilities()
        lockdown.no_new_privileges()
        walled.landlock()
        before = _processes(table)
        ours, theirs = socket.socketpair()
        bash = os.fork()
        if not bash:
            _become_bash(order, walled, scratch, others + order["processes"], theirs)
    os.close(1)
    theirs.close()
    asking = None if own_table else _asking(ours, folders)
    counted = os.geteuid() == 0  # the kernel does not bound how many processes root has
    ended = _wait(bash, asking, table, before + order["processes"] if counted else None)
    _kill_everybody()
    _tell({**ended, "layers": {"landlock": landlock, "namespaces": own_table, "proc": proc}})
    os._exit(0)


class _Walls(NamedTuple):
    version: int
    grants: list[tuple[str, int]]
    program: bytes
    network: bool
    asks: bool

    def landlock(self) -> None:
        """Each call is a domain within the one before, whose processes it cannot signal."""
        lockdown.install_landlock(self.version, self.grants, network=self.network)

    def seccomp(self, warden: socket.socket) -> None:
        """Where the filter asks, the warden gets the descriptor to answer on."""
        if self.asks:
            listener = lockdown.install_seccomp_that_asks(self.program)
            socket.send_fds(warden, [b"a"], [listener])
        else:
            lockdown.install_seccomp(self.program)


@contextlib.contextmanager
def _first_to_go() -> Iterator[None]:
    """What is forked within is what a machine without memory should end. Some containers forbid to say so."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            score = stack.enter_context(Path("/proc/self/oom_score_adj").open("r+b", buffering=0))
            before = score.read()
            score.write(b"1000")
            stack.callback(score.write, before)
        yield


def _asking(warden: socket.socket, folders: list[str]) -> modes.Modes | None:
    _, listeners, _, _ = socket.recv_fds(warden, 1, 1)
    return modes.Modes(listeners[0], folders) if listeners else None  # none: bash did not get so far


def _become_bash(
    order: dict[str, Any], walled: _Walls, scratch: str, processes: int, warden: socket.socket
) -> NoReturn:
    told = os.dup(2)  # not inherited by what is executed
    try:
        lockdown.die_with_parent()
        os.setsid()  # the scheduler shares first among sessions: the warden stays able to act
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(1, 2)
        for limit, value in (
            (resource.RLIMIT_NPROC, processes),
            (resource.RLIMIT_DATA, order["memory"]),
            (resource.RLIMIT_FSIZE, order["file_bytes"]),
            (resource.RLIMIT_NOFILE, order["descriptors"]),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_MSGQUEUE, 0),
        ):
            lockdown.bound(limit, value)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # CPython and the warden ignore them
        os.umask(0o022)
        os.chdir(order["workdir"])
        walled.landlock()
        walled.seccomp(warden)
        arguments = ["bash", "--noprofile", "--norc", "-c", order["command"]]
        environment = {**order["environment"], "TMPDIR": scratch}
        os.execve(order["bash"], arguments, environment)  # noqa: S606 - the shell is what was asked for
    except OSError as error:
        os.write(told, json.dumps({"failed": str(error)}).encode() + b"\n")
    finally:
        os._exit(127)


def _wait(bash: int, asking: modes.Modes | None, table: int, crowd: int | None) -> dict[str, Any]:
    """How bash ended, or why it shall."""
    pidfd = os.pidfd_open(bash)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(0, select.POLLIN)
    if asking is not None:
        poll.register(asking.listener, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poll.poll(_LOOK_SECONDS * 1000 if crowd is not None else 1000)]
        if asking is not None and asking.listener in ready:
            asking.answer()
        if 0 in ready:
            return {"stopped": "cancelled"}
        if crowd is not None and _processes(table) > crowd:
            return {"stopped": "processes"}
        if pidfd in ready:
            _, status = os.waitpid(bash, 0)
            return {"code": os.waitstatus_to_exitcode(status)}
        _reap(bash)


def _reap(bash: int) -> None:
    """Bury what was adopted, but leave bash to `_wait`."""
    with contextlib.suppress(ChildProcessError):
        while (dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and dead.si_pid != bash:
            os.waitpid(dead.si_pid, 0)


def _kill_everybody() -> None:
    """Everybody of this process table, or of this Landlock domain, but this process; gives when they are no more."""
    with contextlib.suppress(OSError):
        os.kill(-1, signal.SIGKILL)  # at once: what is about to fork dies first
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _processes(table: int) -> int:
    return sum(name.isdecimal() for name in os.listdir(table))


def _threads_of_this_user() -> int:
    """RLIMIT_NPROC counts those that are there already, too."""
    count, me = 0, os.getuid()
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if entry.name.isdecimal() and entry.stat().st_uid == me:
                count += sum(1 for _ in os.scandir(f"{entry.path}/task"))
    return count
