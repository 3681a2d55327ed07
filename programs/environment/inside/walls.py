"""What keeps a command inside its workspace. Programs of all kinds must run here, so less is given up than in a guest.

Three walls, each of them the kernel's. Mounts, where namespaces are allowed: all that there is becomes read-only, but
for the workspace and a private /tmp. Landlock, always: only system folders can be read, only those two written. And
seccomp, always: no sockets, no looking into other processes, no mounts, no namespaces; the rest of the system calls is
allowed.

Without namespaces a command sees the process table of the server, so Landlock must keep its signals inside (version 6,
Linux 6.12), and calls that change other processes are denied. What read-only mounts would forbid and Landlock cannot,
to change the modes, the owners and the times of other files, goes through the warden (`modes`).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import lockdown, modes
from .lockdown import ALLOW, ASK, DENY, ERRNO, Instruction, answer, equals, is_null, low, when, without

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

# --- seccomp ----------------------------------------------------------------------------------------------------------

# (x86_64, aarch64)
_DENIED = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "pidfd_getfd": (438, 438), "perf_event_open": (298, 241),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "quotactl": (179, 60),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "acct": (163, 89),
    "unshare": (272, 97), "setns": (308, 268), "sethostname": (170, 161), "setdomainname": (171, 162),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "bpf": (321, 280), "userfaultfd": (323, 282), "syslog": (103, 116), "vhangup": (153, 58),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
}  # fmt: skip
# Calls that reach what an own process table and own IPC would hide, and read-only mounts protect.
_DENIED_IN_THE_OPEN = {
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186), "msgsnd": (69, 189),
    "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "file_setattr": (469, 469),
}  # fmt: skip
_NOT_SUPPORTED_IN_THE_OPEN = {
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463), "removexattrat": (466, 466),
}  # fmt: skip
_NOT_THERE_IN_THE_OPEN = {"utime": (132, -1), "utimes": (235, -1), "futimesat": (261, -1)}  # utimensat can do it
_ON_ITSELF_IN_THE_OPEN = {
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),
}  # fmt: skip
_NOT_THERE = {
    "clone3": (435, 435),  # its flags lie in memory, where a filter cannot look; libc falls back to clone
    "io_uring_setup": (425, 425),  # it makes sockets that no filter sees
}
_SET_FLAGS = (0x40086602, 0x40046602, 0x401C5820)  # of a file that may be open for reading only
_NEW_NAMESPACE = 0x7E020000
_INET, _INET6, _NETLINK = 2, 10, 16


def seccomp_program(*, network: bool, own_table: bool) -> bytes:
    """The filter for commands on this machine.

    Args:
        network: whether internet sockets can be made; those of Unix never.
        own_table: whether the command sees no processes but its own.
    """
    here = ("x86_64", "aarch64").index(platform.machine())
    body: list[Instruction] = []

    def decide(calls: dict[str, tuple[int, int]], *how: Instruction) -> None:
        for numbers in calls.values():
            if numbers[here] >= 0:
                body.extend(when(numbers[here], list(how)))

    decide(_DENIED, answer(DENY))
    decide(_NOT_THERE, answer(ERRNO | errno.ENOSYS))
    if not own_table:
        decide(_DENIED_IN_THE_OPEN, answer(DENY))
        decide(_NOT_SUPPORTED_IN_THE_OPEN, answer(ERRNO | errno.ENOTSUP))
        decide(_NOT_THERE_IN_THE_OPEN, answer(ERRNO | errno.ENOSYS))
        decide(_ON_ITSELF_IN_THE_OPEN, *is_null(0), answer(ALLOW))
        decide({"setpriority": (141, 140)}, *equals(0, 0, 1), *is_null(1), answer(ALLOW))
        decide({"ioprio_set": (251, 30)}, *equals(0, 1, 2), *is_null(1), answer(ALLOW))
        decide({"ioctl": (16, 29)}, *_differs(1, *_SET_FLAGS), answer(ALLOW))
        for number in modes.ASKED.values():
            body += when(number, [answer(ASK)])
    sockets = [*equals(0, _INET, _INET6, _NETLINK), answer(ALLOW)] if network else [answer(DENY)]
    decide({"clone": (56, 220)}, *without(0, _NEW_NAMESPACE), answer(ALLOW))
    decide({"socket": (41, 198)}, *sockets)
    decide({"socketpair": (53, 199)}, *equals(0, lockdown.UNIX), answer(ALLOW))
    return lockdown.assembled(body, otherwise=ALLOW)


def _differs(argument: int, *refused: int) -> list[Instruction]:
    """Go on when the low half of `argument` is none of `refused`, else deny."""
    tests = [(lockdown.JEQ, len(refused) - index, 0, value) for index, value in enumerate(refused)]
    return [low(argument), *tests, (lockdown.JEQ, 1, 1, 0), answer(DENY)]  # either way beyond the denial


# --- Landlock ---------------------------------------------------------------------------------------------------------

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 15


def grants(version: int, *, readable: Sequence[str], writable: Sequence[str], proc: bool) -> Iterator[tuple[str, int]]:
    """What a command may do with files.

    Args:
        version: of Landlock.
        readable: folders and files beyond the system's own; programs there can be run.
        writable: folders that are the command's own.
        proc: whether /proc shows nothing but the command's own processes.
    """
    look = _READ_FILE | _READ_DIR
    for path in (*_SYSTEM, *readable):
        if Path(path).is_dir():
            yield path, look | _EXECUTE
        elif Path(path).exists():
            yield path, _READ_FILE | _EXECUTE
    for path in _public("/etc"):
        yield path, look if Path(path).is_dir() else _READ_FILE
    if proc:
        yield "/proc", look
    for path in _DEVICES:
        if Path(path).exists():
            yield path, _READ_FILE | _WRITE_FILE
    for path in writable:
        yield path, lockdown.file_rights(version) & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)


def _public(folder: str) -> list[str]:
    """The fewest paths that hold all that everybody may read beneath `folder`, and nothing else."""
    found, all_of_it = [], True
    for entry in os.scandir(folder):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            continue  # it leads to a file that is looked at by itself
        if stat.S_ISDIR(mode) and mode & 0o005 == 0o005:
            inside = _public(entry.path)
            all_of_it = all_of_it and inside == [entry.path]
            found += inside
        elif stat.S_ISREG(mode) and mode & 0o004:
            found.append(entry.path)
        else:
            all_of_it = False
    return [folder] if all_of_it else found


# --- mounts -----------------------------------------------------------------------------------------------------------

_NOSUID, _NODEV, _NOEXEC, _REC, _PRIVATE = 2, 4, 8, 16384, 1 << 18
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_CLONE_TREE, _FROM_DESCRIPTOR = 1, 4
_ATTR_READ_ONLY, _ATTR_NOSUID = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def mount_read_only(workspace: str, scratch: str) -> bool:
    """Make all mounts read-only but `workspace` and, at /tmp and /dev/shm, `scratch`. Needs an own mount namespace.

    Gives whether /proc shows this process table, which containers do not allow.

    Raises:
        OSError: the kernel refused a step.
    """
    _mount("none", "/", None, _REC | _PRIVATE)
    own_proc = True
    try:
        _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    except OSError:
        own_proc = False
    # Copies, with what is mounted beneath: they stay as they are when all else becomes read-only.
    copies = [(_copy(scratch), target) for target in ("/tmp", "/dev/shm") if Path(target).is_dir()]  # noqa: S108
    copies.append((_copy(workspace), workspace))
    _set_attributes(_AT_FDCWD, "/", _ATTR_READ_ONLY | _ATTR_NOSUID)
    for copy, target in copies:
        if target == workspace:
            Path(target).mkdir(parents=True, exist_ok=True)  # one in /tmp is hidden by now
        _set_attributes(copy, "", _ATTR_NOSUID)
        lockdown.syscall(
            f"mount on {target}", _MOVE_MOUNT, ctypes.c_int(copy), ctypes.c_char_p(b""), ctypes.c_int(_AT_FDCWD),
            ctypes.c_char_p(os.fsencode(target)), ctypes.c_uint(_FROM_DESCRIPTOR),
        )  # fmt: skip
        os.close(copy)
    return own_proc


def _copy(folder: str) -> int:
    """The descriptor of a copy of the mounts at a folder, which is mounted nowhere yet."""
    flags = ctypes.c_uint(_CLONE_TREE | os.O_CLOEXEC | _AT_RECURSIVE)
    where = ctypes.c_char_p(os.fsencode(folder))
    return lockdown.syscall(f"open_tree {folder}", _OPEN_TREE, ctypes.c_int(_AT_FDCWD), where, flags)


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")


def _set_attributes(base: int, path: str, attributes: int) -> None:
    """Of a mount, and all that are mounted beneath."""
    flags = ctypes.c_uint(_AT_RECURSIVE | (0 if path else _AT_EMPTY_PATH))
    new = ctypes.c_char_p(struct.pack("=QQQQ", attributes, 0, 0, 0))
    where = ctypes.c_char_p(os.fsencode(path))
    lockdown.syscall(
        f"mount_setattr {path}", _MOUNT_SETATTR, ctypes.c_int(base), where, flags, new, ctypes.c_size_t(32)
    )
