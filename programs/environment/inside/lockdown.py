"""What a guest process gives up before it runs a line of the model's code. Irrevocable, through the kernel alone.

The guest is taken to be hostile native code: CPython is no boundary, so nothing here hides or patches Python objects.

seccomp denies by default and allows a list. A deny-list would have to name every system call of every kernel to come;
the list of what CPython needs to compute, to run threads and to manage its memory is short and stable. Calls whose
arguments matter are checked: only threads can be cloned, only memory that is not executable can be mapped, only an
unnamed stream socket pair can be made (asyncio wakes itself through one), nothing can be addressed or signalled. What
is not allowed fails with EPERM, so that the model sees a `PermissionError`; a foreign ABI kills the process.

Landlock is the second wall for files, TCP, abstract sockets and signals. Namespaces, where they are allowed, are the
third: an own process table (so there is nobody to name), no network, no shared System V objects. Resource limits bound
memory, descriptors and, in an own user namespace, threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

STACK_BYTES = 2 << 20
"""Of each guest thread. Address space, not memory."""

NAMESPACES = os.CLONE_NEWUSER | os.CLONE_NEWPID | os.CLONE_NEWNET | os.CLONE_NEWIPC | os.CLONE_NEWUTS | os.CLONE_NEWNS
NOBODY = 65534

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_M_ARENA_MAX = -8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(what: str, number: int, *arguments: object) -> int:
    """Make a system call; `what` is what an error calls it."""
    return _check(_libc.syscall(ctypes.c_long(number), *arguments), what)


def prctl(what: str, option: int, *arguments: int) -> None:
    """Set an attribute of this process; `what` is what an error calls it."""
    padded = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(ctypes.c_int(option), *padded), what)


def die_with_parent() -> None:
    """The kernel kills this process when the one that forked it ends."""
    prctl("prctl(PDEATHSIG)", _PR_SET_PDEATHSIG, signal.SIGKILL)


def no_new_privileges() -> None:
    """No exec brings more than this process has."""
    prctl("prctl(NO_NEW_PRIVS)", _PR_SET_NO_NEW_PRIVS, 1)


def hide_from_siblings() -> None:
    """Nobody of the same user may look into this process, until it executes another program."""
    prctl("prctl(DUMPABLE)", _PR_SET_DUMPABLE, 0)


def one_arena() -> None:
    """Keep malloc from reserving 64 MB of address space for every thread."""
    _libc.mallopt(_M_ARENA_MAX, 1)


def forget_environment() -> None:
    """It was empty at the start; CPython and readline have put a locale and a size of the screen into it."""
    os.environ.clear()
    _libc.clearenv()


# --- seccomp: a classic BPF program over (nr, arch, ip, args) -------------------------------------------------------

LD, JEQ, JGE, JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO, ASK = 0x7FFF0000, 0x80000000, 0x00050000, 0x7FC00000
DENY = ERRNO | errno.EPERM
_FOREIGN_ABI = 0x40000000  # x32 calls carry this bit on x86_64

PROT_EXEC = 0x4
_FIONBIO = 0x5421
_THREAD = 0x3D0F00  # what glibc asks of clone(2) for a thread
_THREAD_MUSL = 0x7D0F00
_CLOCKS = 16  # beyond are other processes' clocks
UNIX, STREAM = 1, 1
_STREAM_FLAGS = 0o2004000  # SOCK_CLOEXEC | SOCK_NONBLOCK

Instruction = tuple[int, int, int, int]


class _Machine(NamedTuple):
    audit: int
    landlock: int  # the first of three
    free: dict[str, int]
    checked: dict[str, int]


LANDLOCK = 444  # everywhere since the tables were unified
_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8

_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        landlock=LANDLOCK,
        free={
            "futex": 202, "read": 0, "write": 1, "recvfrom": 45, "munmap": 11, "brk": 12, "mremap": 25, "madvise": 28,
            "rt_sigprocmask": 14, "rt_sigaction": 13, "rt_sigreturn": 15, "sigaltstack": 131, "restart_syscall": 219,
            "close": 3, "fstat": 5, "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270,
            "epoll_create1": 291, "epoll_ctl": 233, "epoll_wait": 232, "epoll_pwait": 281,
            "nanosleep": 35, "sched_yield": 24, "gettimeofday": 96, "time": 201, "getrandom": 318,
            "getpid": 39, "gettid": 186, "getuid": 102, "geteuid": 107, "getgid": 104, "getegid": 108,
            "getrusage": 98, "times": 100,
            "set_robust_list": 273, "set_tid_address": 218, "rseq": 334, "exit": 60, "exit_group": 231,
        },
        checked={
            "mmap": 9, "mprotect": 10, "clone": 56, "clone3": 435, "ioctl": 16, "socketpair": 53, "sendto": 44,
            "prlimit64": 302, "sched_getaffinity": 204, "clock_gettime": 228, "clock_getres": 229,
            "clock_nanosleep": 230,
        },
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        landlock=LANDLOCK,
        free={
            "futex": 98, "read": 63, "write": 64, "recvfrom": 207, "munmap": 215, "brk": 214, "mremap": 216,
            "madvise": 233, "rt_sigprocmask": 135, "rt_sigaction": 134, "rt_sigreturn": 139, "sigaltstack": 132,
            "restart_syscall": 128, "close": 57, "fstat": 80, "ppoll": 73, "pselect6": 72,
            "epoll_create1": 20, "epoll_ctl": 21, "epoll_pwait": 22,
            "nanosleep": 101, "sched_yield": 124, "gettimeofday": 169, "getrandom": 278,
            "getpid": 172, "gettid": 178, "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177,
            "getrusage": 165, "times": 153,
            "set_robust_list": 99, "set_tid_address": 96, "rseq": 293, "exit": 93, "exit_group": 94,
        },
        checked={
            "mmap": 222, "mprotect": 226, "clone": 220, "clone3": 435, "ioctl": 29, "socketpair": 199, "sendto": 206,
            "prlimit64": 261, "sched_getaffinity": 123, "clock_gettime": 113, "clock_getres": 114,
            "clock_nanosleep": 115,
        },
    ),
}  # fmt: skip


def low(argument: int) -> Instruction:
    """Load the low half of an argument."""
    return (LD, 0, 0, 16 + 8 * argument)


def high(argument: int) -> Instruction:
    """Load the high half of an argument."""
    return (LD, 0, 0, 20 + 8 * argument)


def answer(value: int) -> Instruction:
    """Decide."""
    return (_RET, 0, 0, value)


def equals(argument: int, *accepted: int) -> list[Instruction]:
    """Go on when the low half of `argument` is one of `accepted`, else deny."""
    tests: list[Instruction] = [(JEQ, len(accepted) - index, 0, value) for index, value in enumerate(accepted)]
    return [low(argument), *tests, answer(DENY)]


def is_null(argument: int) -> list[Instruction]:
    """Go on when `argument` is zero, else deny."""
    return [high(argument), (JEQ, 1, 0, 0), answer(DENY), *equals(argument, 0)]


def without(argument: int, bits: int) -> list[Instruction]:
    """Go on when the low half of `argument` has none of `bits`, else deny."""
    return [low(argument), (JSET, 0, 1, bits), answer(DENY)]


_BELOW_CLOCKS: list[Instruction] = [low(0), (JGE, 0, 1, _CLOCKS), answer(DENY)]

_CHECKS: dict[str, list[Instruction]] = {
    "mmap": [*without(2, PROT_EXEC), answer(ALLOW)],
    "mprotect": [*without(2, PROT_EXEC), answer(ALLOW)],
    # The flags are all the kernel reads besides pointers into the guest itself; none of the namespaces' is among them.
    "clone": [*equals(0, _THREAD, _THREAD_MUSL), answer(ALLOW)],
    # Its flags lie in memory, where a filter cannot look. libc then falls back to clone.
    "clone3": [answer(ERRNO | errno.ENOSYS)],
    "ioctl": [*equals(1, _FIONBIO), answer(ALLOW)],
    "socketpair": [
        *equals(0, UNIX),
        *equals(1, STREAM, STREAM | 0o2000000, STREAM | 0o4000, STREAM | _STREAM_FLAGS),
        answer(ALLOW),
    ],
    "sendto": [*is_null(4), answer(ALLOW)],
    "prlimit64": [*equals(0, 0), *is_null(2), answer(ALLOW)],
    "sched_getaffinity": [*equals(0, 0), answer(ALLOW)],
    "clock_gettime": [*_BELOW_CLOCKS, answer(ALLOW)],
    "clock_getres": [*_BELOW_CLOCKS, answer(ALLOW)],
    "clock_nanosleep": [*_BELOW_CLOCKS, answer(ALLOW)],
}


def this_machine() -> _Machine:
    """The numbers for the machine that this runs on.

    Raises:
        OSError: it is neither x86_64 nor aarch64.
    """
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no seccomp table for the machine {platform.machine()}") from None


def seccomp_program() -> bytes:
    """The filter for this machine, as the kernel's `struct sock_filter`s.

    Raises:
        OSError: the machine is neither x86_64 nor aarch64.
    """
    machine = this_machine()
    body: list[Instruction] = []
    for number in machine.free.values():
        body += when(number, [answer(ALLOW)])
    for name, number in machine.checked.items():
        body += when(number, _CHECKS[name])
    return assembled(body, otherwise=DENY)


def when(number: int, body: list[Instruction]) -> list[Instruction]:
    """Run `body`, which decides, for the system call `number`."""
    return [(JEQ, 0, len(body), number), *body]


def assembled(body: list[Instruction], *, otherwise: int) -> bytes:
    """A whole filter: foreign ABIs kill, then `body`, and `otherwise` for what it leaves undecided."""
    program: list[Instruction] = [
        (LD, 0, 0, 4),
        (JEQ, 1, 0, this_machine().audit),
        answer(KILL),
        (LD, 0, 0, 0),
        (JGE, 0, 1, _FOREIGN_ABI),
        answer(KILL),
        *body,
        answer(otherwise),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_seccomp(program: bytes) -> None:
    """Put this thread, and all that it starts, under the filter `program`; needs no_new_privs."""
    fprog = _SockFprog(len(program) // 8, program)
    prctl("seccomp", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(fprog))


def install_seccomp_that_asks(program: bytes) -> int:
    """As `install_seccomp`, for a filter that asks; gives the descriptor where it does."""
    fprog = ctypes.byref(_SockFprog(len(program) // 8, program))
    number = _SECCOMP[platform.machine()]
    return syscall("seccomp", number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_NEW_LISTENER), fprog)


# --- Landlock ---------------------------------------------------------------------------------------------------------

_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_FILE_RIGHTS = (1 << 16) - 1  # from version 5 on
_NET_RIGHTS = 0b11
_SCOPES = 0b11


def file_rights(version: int) -> int:
    """All the rights over files that this Landlock version knows."""
    return _FILE_RIGHTS.get(version, _ALL_FILE_RIGHTS)


def landlock_version() -> int:
    """The kernel's Landlock ABI.

    Raises:
        OSError: the kernel has none, or it is switched off.
    """
    return syscall("Landlock", this_machine().landlock, None, ctypes.c_size_t(0), ctypes.c_uint(1))


def install_landlock(version: int, grants: Iterable[tuple[str, int]] = (), *, network: bool = False) -> None:
    """Handle every right there is, and grant none but those of `grants`; needs no_new_privs.

    Args:
        version: from `landlock_version`.
        grants: rights, of this version, beneath a path, or on the one file that it names.
        network: whether to leave TCP as it is.
    """
    rights = struct.pack(
        "=QQQ",
        file_rights(version),
        _NET_RIGHTS if version >= 4 and not network else 0,
        _SCOPES if version >= 6 else 0,
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    first = this_machine().landlock
    ruleset = syscall(
        "landlock_create_ruleset", first, ctypes.c_char_p(rights), ctypes.c_size_t(size), ctypes.c_uint(0)
    )
    for path, granted in grants:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = ctypes.c_char_p(struct.pack("=Qi", granted, beneath))
        syscall("landlock_add_rule", first + 1, ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0))
        os.close(beneath)
    syscall("landlock_restrict_self", first + 2, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)


# --- users and namespaces -------------------------------------------------------------------------------------------


def become_nobody() -> bool:
    """Where the server is root and may, the zygote is not. What it needs from files it has read by now."""
    needed = {5, 6, 7}  # CAP_KILL (the server must still be able to end it), CAP_SETGID, CAP_SETUID
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    if os.geteuid() != 0 or not all(effective >> bit & 1 for bit in needed):
        return False
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    prctl("prctl(DUMPABLE)", _PR_SET_DUMPABLE, 1)  # its own /proc/self/uid_map belongs to root otherwise
    return True


def enter_namespaces(namespaces: int = NAMESPACES, *, user: int = NOBODY, group: int = NOBODY) -> None:
    """Move into own namespaces, as `user` and `group` there; the process table begins with the next fork.

    Raises:
        OSError: they are not allowed here.
    """
    uid, gid = os.geteuid(), os.getegid()
    os.unshare(namespaces)
    for name, text in (
        ("setgroups", "deny"),
        ("gid_map", f"{group} {gid} 1"),
        ("uid_map", f"{user} {uid} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def namespaces_allowed() -> bool:
    """Whether all of it works, tried in a child: some systems grant the namespaces and then nothing in them."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        enter_namespaces()
        inner = os.fork()
        if not inner:
            own = os.open("/proc/self/ns/pid", os.O_RDONLY)
            os.unshare(os.CLONE_NEWPID)
            os.setns(own, os.CLONE_NEWPID)
            os.unshare(os.CLONE_NEWUSER)
            code = 0
        else:
            code = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
    except OSError:
        code = 1
    finally:
        os._exit(code)


# --- all of it, in a guest ------------------------------------------------------------------------------------------


def bound(limit: int, value: int) -> None:
    """Lower a resource limit, soft and hard, to `value` where it is higher."""
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def drop_capabilities() -> None:
    """Give up all of them; with no_new_privs no exec brings one back."""
    header = struct.pack("=Ii", 0x20080522, 0)
    syscall("capset", _CAPSET[platform.machine()], ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def lock_down(*, memory: int, threads: int, descriptors: int, namespaces: bool, program: bytes, landlock: int) -> None:
    """Give up everything but computing. Call it with one thread, and with only the descriptors the guest may keep.

    Args:
        memory: bytes of address space beyond what is mapped now.
        threads: how many, ours included; enforced where there are namespaces, else bounded by memory alone.
        descriptors: how many may be open.
        namespaces: whether an own user namespace can be had.
        program: from `seccomp_program`.
        landlock: from `landlock_version`.

    Raises:
        OSError: the kernel refused a step. The guest must then not run.
    """
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    # Where the machine runs out of memory, a guest is what it should end. Some containers forbid to say so.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if namespaces:
        os.unshare(os.CLONE_NEWUSER)  # threads are counted in it, by themselves
        bound(resource.RLIMIT_NPROC, threads)
    bound(resource.RLIMIT_AS, mapped + memory)
    bound(resource.RLIMIT_NOFILE, descriptors)
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        bound(limit, 0)
    drop_capabilities()
    hide_from_siblings()
    die_with_parent()  # after the changes of identity, each of which forgets it
    no_new_privileges()
    install_landlock(landlock)
    install_seccomp(program)
