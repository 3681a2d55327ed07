"""No command gets out of its workspace, and none leaves anything running, with namespaces and without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from programs.environment import EnvironmentUnavailable
from programs.environment.commands import Commands
from programs.settings import BashSettings
from tests.support import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commands need Linux")

PYTHON = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
SECRET = "secret-" + "5f1c0b"
SETTINGS = BashSettings(
    readable=(Path(sys.base_prefix),), timeout_seconds=20, memory=1 << 30, file_bytes=8 << 20, flood_bytes=4 << 20
)

# Each prints THROUGH if it gets what it wants. $OUT holds the file `secret` and may not be written, $PORT is served.
ATTACKS = {
    "write by path": "echo x > $OUT/new && echo THROUGH",
    "append by path": "echo x >> $OUT/secret && echo THROUGH",
    "write by dots": "echo x > ../../../../../../..$OUT/new && echo THROUGH",
    "write by link": "ln -s $OUT door && echo x > door/new && echo THROUGH",
    "write by link to a file": "ln -s $OUT/secret door && echo x > door && echo THROUGH",
    "write through the root of a process": "echo x > /proc/self/root$OUT/new && echo THROUGH",
    "write through the root of init": "echo x > /proc/1/root$OUT/new && echo THROUGH",
    "write through the server's root": "echo x > /proc/$SERVER/root$OUT/new && echo THROUGH",
    "write in the server's folder": "echo x > /proc/$SERVER/cwd/rants-canary && echo THROUGH",
    "write in /usr": "touch /usr/rants-canary && echo THROUGH",
    "write in /etc": "touch /etc/rants-canary && echo THROUGH",
    "write in /": "mkdir /rants-canary && echo THROUGH",
    "write in the home folder": "touch ~root/rants-canary && echo THROUGH",
    "write in /var/tmp": "touch /var/tmp/rants-canary && echo THROUGH",
    "truncate": "truncate -s 0 $OUT/secret && echo THROUGH",
    "remove": "rm $OUT/secret && echo THROUGH",
    "move out": "echo x > mine; mv mine $OUT/mine && echo THROUGH",
    "move in": "mv $OUT/secret . && echo THROUGH",
    "hard link": "ln $OUT/secret mine && cat mine && echo THROUGH",
    "hard link and write": "ln $OUT/secret mine && echo x > mine && echo THROUGH",
    "make a folder": "mkdir $OUT/new && echo THROUGH",
    "make a device": "mknod disk b 254 0 && head -c 1 disk && echo THROUGH",
    "write a device": "echo x > /dev/vda; echo x > /dev/mem && echo THROUGH",
    "turn a sysctl": "echo x > /proc/sys/kernel/core_pattern && echo THROUGH",
    "join a cgroup": "mkdir /sys/fs/cgroup/rants-canary && echo THROUGH",
    "read by path": "cat $OUT/secret && echo THROUGH",
    "read by link": "ln -s $OUT/secret door; cat door && echo THROUGH",
    "read through the root of a process": "cat /proc/self/root$OUT/secret && echo THROUGH",
    "read through the folder of a process": "cd $OUT; cat /proc/self/cwd/secret && echo THROUGH",
    "go there and read": "cd $OUT && cat secret && echo THROUGH",
    "list": "ls $OUT && echo THROUGH",
    "list the root": "ls / && echo THROUGH",
    "list home folders": "ls /root /home && echo THROUGH",
    "read the shadow": "cat /etc/shadow && echo THROUGH",
    "read the disk": "head -c 1 /dev/vda && echo THROUGH",
    "read the kernel's memory": "head -c 1 /proc/kcore && echo THROUGH",
    "read the server's environment": "cat /proc/$SERVER/environ && echo THROUGH",
    "read the server's command line": "cat /proc/$SERVER/cmdline && echo THROUGH",
    "read the parent's environment": "tr '\\0' '\\n' < /proc/$PPID/environ | grep . && echo THROUGH",
    "read the server's files": "cat /proc/$SERVER/fd/* && echo THROUGH",
    "read the server's memory": "head -c 1 /proc/$SERVER/mem && echo THROUGH",
    "read an inherited file": "for n in {3..254}; do (cat <&$n) 2>/dev/null && echo THROUGH; done",
    "mount over": "mount --bind . $OUT && echo THROUGH",
    "mount a disk": "mkdir m; mount -t tmpfs none m && echo THROUGH",
    "mount writable again": "mount -o remount,rw / && echo THROUGH",
    "unmount": "umount /tmp && echo THROUGH",
    "make a namespace": "unshare -Ur true && echo THROUGH",
    "join a namespace": "nsenter -t $SERVER -m true && echo THROUGH",
    "change the root": "chroot . true && echo THROUGH",
    "kill the server": "kill -0 $SERVER && echo THROUGH",
    "kill another": "kill -9 $OTHER && echo THROUGH",
    "kill everybody": "kill -9 -1; sleep 0.2; echo ended",
    "stop the warden": "kill -STOP $PPID; sleep 0.1; kill -9 $PPID; setsid sleep 98765 & sleep 0.1",
    "become root": "sudo -n true && echo THROUGH; su -c true && echo THROUGH",
    "call a server": "echo x > /dev/tcp/127.0.0.1/$PORT && echo THROUGH",
    "call a server with curl": "curl -sS --max-time 3 http://127.0.0.1:$PORT/ && echo THROUGH",
    "send a datagram": "echo x > /dev/udp/127.0.0.1/$PORT && echo THROUGH",
    "resolve a name": "getent hosts localhost.example. && echo THROUGH",
    "leave a daemon": "setsid bash -c 'trap \"\" TERM HUP INT; sleep 98765' & echo left",
    "leave a daemon's daemon": "(setsid bash -c '(setsid sleep 98765 &) ; exec sleep 98765' &) ; sleep 0.2; echo left",
    "bomb": "bomb() { bomb | bomb & }; bomb; sleep 1",
    "hold the output open": "(trap '' TERM; sleep 98765) & exec true",
}  # fmt: skip
IN_PYTHON = {
    "connect": "socket.create_connection(('127.0.0.1', port), 3)",
    "make an IPv6 socket": "socket.socket(socket.AF_INET6)",
    "make a datagram socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "make a raw socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "make a Unix socket": "socket.socket(socket.AF_UNIX)",
    "make a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "make a vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "make an io_uring": "call(425, 1, ctypes.addressof(ctypes.create_string_buffer(256)))",
    "ptrace": "call(101 if x86 else 117, 16, server, 0, 0)",
    "read memory": "call(310 if x86 else 270, server, 0, 0, 0, 0, 0)",
    "take a descriptor": "call(438, os.pidfd_open(server), 1, 0)",
    "signal by pidfd": "signal.pidfd_send_signal(os.pidfd_open(server), 0)",
    "queue a signal": "call(129 if x86 else 138, server, 15, ctypes.addressof(ctypes.create_string_buffer(128)))",
    "change its limits": "resource.prlimit(server, resource.RLIMIT_NOFILE, (0, 0))",
    "change its priority": "os.setpriority(os.PRIO_PROCESS, server, 19)",
    "change everybody's priority": "os.setpriority(os.PRIO_USER, os.getuid(), 19); os.kill(server, 0)",
    "pin it to a processor": "os.sched_setaffinity(server, {0})",
    "get its signals": "fcntl.fcntl(0, fcntl.F_SETOWN, server); os.kill(server, 0)",
    "change a mode by descriptor": "os.fchmod(os.open('/usr/bin/env', os.O_RDONLY), 0o777)",
    "change a mode by a path's descriptor": "os.fchmod(os.open(os.environ['OUT'], os.O_PATH), 0o777)",
    "change a mode beside a folder": "os.chmod('secret', 0o777, dir_fd=os.open(os.environ['OUT'], os.O_PATH))",
    "change a mode with the newest call": "call(452, -100, ctypes.addressof(out), 0o777, 0)",
    "change times by descriptor": "os.utime(os.open('/usr/bin/env', os.O_RDONLY), (0, 0))",
    "change times with an old call": "x86 and call(132, ctypes.addressof(out), 0) or os.kill(server, 0)",
    "change a flag": "fcntl.ioctl(os.open('/usr/bin/env', os.O_RDONLY), 0x40086602, bytes(8))",
    "become another user": "os.setuid(12345 if os.getuid() == 0 else 0)",
    "clone into a namespace": "call(56 if x86 else 220, 0x10000000 | 17, 0, 0, 0, 0)",
    "load a program into the kernel": "call(321 if x86 else 280, 0, 0, 0)",
    "open by handle": "call(304 if x86 else 265, -100, 0, 0)",
    "make many files at once": "[open(str(n), 'w') for n in range(10_000)]",
    "fill the disk": "open('big', 'wb').truncate(1 << 40)",
    "map all memory": "bytearray(8 << 30)",
    "start many": "[os.fork() or time.sleep(5) for n in range(1_000)]",
}  # fmt: skip
PRELUDE = """
import ctypes, fcntl, os, platform, resource, signal, socket, time
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
server, port = int(os.environ["SERVER"]), int(os.environ["PORT"])
out = ctypes.create_string_buffer(os.environ["OUT"].encode() + b"/secret")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

def call(number, *arguments):
    if libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")
"""


@dataclass(frozen=True)
class World:
    workspace: Path
    outside: Path
    server: socket.socket
    other: subprocess.Popen[bytes]

    def prefix(self) -> str:
        port = self.server.getsockname()[1]
        return f"export OUT={self.outside} SERVER={os.getpid()} PORT={port} OTHER={self.other.pid}\n"

    def check_untouched(self) -> None:
        assert [path.name for path in self.outside.iterdir()] == ["secret"]
        assert (self.outside / "secret").read_text() == SECRET
        assert self.other.poll() is None
        for folder in ("/usr", "/etc", "/", "/var/tmp", "/root", "/sys/fs/cgroup", "."):
            with contextlib.suppress(PermissionError):
                assert not (Path(folder) / "rants-canary").exists()
        with pytest.raises(BlockingIOError):
            self.server.accept()

    def left(self) -> list[str]:
        """What still runs of the commands."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                with contextlib.suppress(OSError):
                    if f"HOME={self.workspace}\0".encode() in (process / "environ").read_bytes():
                        found.append((process / "cmdline").read_text())
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside, socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        (Path(outside) / "secret").write_text(SECRET)
        workspace = tmp_path / "workspace"
        workspace.mkdir()
        with subprocess.Popen(["sleep", "1000"]) as other:
            yield World(workspace, Path(outside), server, other)
            other.kill()


@pytest.fixture(scope="session", params=["with", "without"])
def commands(request: pytest.FixtureRequest) -> Commands:
    commands = Commands(SETTINGS, namespaces=request.param == "with")
    try:
        asyncio.run(commands.start())
    except EnvironmentUnavailable as error:
        assert request.param != os.environ.get("EXPECTED_NAMESPACES"), error
        pytest.skip(str(error))
    return commands


async def attacked(commands: Commands, world: World, command: str) -> None:
    ran = await commands.run(world.prefix() + command, workspace=world.workspace)
    assert "THROUGH" not in ran.output, ran
    assert SECRET not in ran.output, ran
    assert ran.stopped in {None, "processes"}, ran
    world.check_untouched()
    assert world.left() == []
    again = await commands.run("echo still here", workspace=world.workspace)
    assert again.output == "still here\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
async def test_nothing_gets_through(commands: Commands, world: World, name: str) -> None:
    await attacked(commands, world, ATTACKS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PYTHON)
async def test_nothing_gets_through_from_a_program(commands: Commands, world: World, name: str) -> None:
    code = f"{PRELUDE}\ntry:\n    {IN_PYTHON[name]}\nexcept (OSError, MemoryError) as error: print(repr(error))\n"
    (world.workspace / "attack.py").write_text(code + "else: print('THROUGH')\n")
    await attacked(commands, world, f"{PYTHON} attack.py")


async def test_nothing_of_the_usual_gets_through(commands: Commands, world: World) -> None:
    usual = ("write by path", "write by link", "remove", "read by path", "kill another", "call a server with curl")
    await attacked(commands, world, "\n".join(f"({ATTACKS[name]})" for name in (*usual, "leave a daemon")))


CHANGES = """
chmod 777 $OUT/secret && echo THROUGH
chmod 777 $OUT && echo THROUGH
(cd $OUT && chmod 777 secret .) && echo THROUGH
ln -s $OUT/secret door
chmod 777 door && echo THROUGH
chmod 777 ../../../../../../..$OUT/secret /proc/self/root$OUT/secret && echo THROUGH
touch -c -d 2001-01-01 $OUT/secret
touch -c -d 2001-01-01 $OUT
chown 1 $OUT/secret && echo THROUGH
setfattr -n user.mark -v x $OUT/secret && echo THROUGH
chmod 777 /usr /usr/bin/env /etc/passwd && echo THROUGH
exec 3< /etc/passwd; chmod 777 /proc/self/fd/3 /dev/fd/3 && echo THROUGH
true
"""


async def test_modes_owners_and_times_outside_stay_as_they_are(commands: Commands, world: World) -> None:
    files = (world.outside / "secret", world.outside, Path("/usr"), Path("/usr/bin/env"), Path("/etc/passwd"))

    def told() -> list[tuple[int, int, int, float]]:
        return [(file.st_mode, file.st_uid, file.st_gid, file.st_mtime) for file in (path.stat() for path in files)]

    before = told()
    await attacked(commands, world, CHANGES)
    assert told() == before


async def test_modes_and_times_inside_are_the_command_s(commands: Commands, world: World) -> None:
    ran = await commands.run(
        "set -e; echo x > file; ln -s file link; mkdir folder; chmod 640 file; stat -c %a file; chmod u+x link;"
        " stat -c %a file; chmod 700 folder; (cd folder && chmod 750 ../file . && stat -c %a ../file .);"
        " touch -d 2001-01-01T00:00Z file; stat -c %Y file; touch -h -d 2002-01-01T00:00Z link; stat -c %Y file link;"
        " exec 3< file; chmod 600 /proc/self/fd/3; stat -c %a file; cp -p file copy; stat -c '%a %Y' copy;"
        " chown $(id -u):$(id -g) file; tar c file folder | (cd $TMPDIR; tar x; stat -c '%a %Y' file);"
        " chmod 600 missing || echo missing; rm file; (echo x >&4; stat -L -c %a /dev/fd/4) 4> other",
        workspace=world.workspace,
    )
    assert ran.output.splitlines() == [
        "640", "740", "750", "750", "978307200", "978307200", "1009843200", "600", "600 978307200", "600 978307200",
        "chmod: cannot access 'missing': No such file or directory", "missing", "644",
    ]  # fmt: skip
    assert ran.code == 0, ran


async def test_a_command_without_end_is_killed_with_all_it_started(commands: Commands, world: World) -> None:
    ran = await commands.run(
        "trap '' TERM; setsid sleep 98765 & echo begun; while :; do :; done", workspace=world.workspace, timeout=0.5
    )
    assert (ran.stopped, ran.code, ran.output) == ("time", None, "begun\n")
    assert world.left() == []


async def test_a_cancelled_command_is_killed_with_all_it_started(commands: Commands, world: World) -> None:
    running = asyncio.create_task(
        commands.run("setsid sleep 98765 & touch begun; sleep 98765", workspace=world.workspace)
    )
    async with asyncio.timeout(10):
        while not (world.workspace / "begun").exists():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.left() == []


@pytest.mark.slow
def test_a_command_ends_with_its_server(world: World) -> None:
    script = (
        "import asyncio, pathlib, sys\n"
        "from programs.environment.commands import Commands\n"
        "from programs.settings import BashSettings\n"
        "ran = Commands(BashSettings()).run('setsid sleep 98765 & touch begun; sleep 98765', "
        "workspace=pathlib.Path(sys.argv[1]))\n"
        "asyncio.run(ran)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(world.workspace)]) as server:
        eventually((world.workspace / "begun").exists, within=60)
        server.send_signal(signal.SIGKILL)
    eventually(lambda: world.left() == [])


async def test_a_flood_is_cut_and_stopped(commands: Commands, world: World) -> None:
    ran = await commands.run("echo first; yes", workspace=world.workspace)
    assert ran.stopped == "output"
    assert ran.output.startswith("first\ny\n")
    assert ran.left_out > 0 and len(ran.output) < SETTINGS.output_bytes + 100


async def test_what_is_allowed_works(commands: Commands, world: World) -> None:
    ran = await commands.run(
        "set -e; echo data > file; mkdir -p a/b; mv file a/b/; cat a/b/file; printf '#!/bin/sh\\necho run' > script;"
        " chmod +x script; ./script; cp script $TMPDIR/copy; $TMPDIR/copy; cat <(echo substituted);"
        " echo to stderr >&2; [ $HOME = $PWD ]; echo x > /dev/null; head -c 1 /dev/urandom > random;"
        " sleep 5 & kill %1; wait %1 || echo killed; ls /etc/passwd; env | sort | cut -d= -f1 | xargs",
        workspace=world.workspace,
    )
    assert ran.code == 0, ran
    assert ran.output.splitlines() == [
        "data", "run", "run", "substituted", "to stderr", "killed", "/etc/passwd",
        "HOME LANG PATH PWD SHLVL TERM TMPDIR _",
    ]  # fmt: skip


async def test_what_is_printed_to_the_end_is_there(commands: Commands, world: World) -> None:
    ran = await commands.run("seq 100000; exec >&- 2>&-; sleep 0.2; exit 7", workspace=world.workspace)
    assert (ran.code, ran.left_out, ran.output.count("\n")) == (7, 0, 100000)


async def test_the_kernel_is_asked_again_what_a_self_test_cannot_show(commands: Commands, world: World) -> None:
    if not commands.layers["proc"]:
        pytest.skip("no /proc to look into")
    ran = await commands.run(
        "grep -E '^(CapEff|CapPrm|NoNewPrivs|Seccomp):' /proc/self/status", workspace=world.workspace
    )
    assert ran.output.split() == [
        "CapPrm:", "0000000000000000", "CapEff:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2",
    ]  # fmt: skip


async def test_with_network_a_server_is_reached_and_files_are_not(world: World) -> None:
    commands = Commands(BashSettings(network=True))
    ran = await commands.run(
        world.prefix() + "echo x > /dev/tcp/127.0.0.1/$PORT && echo called; cat $OUT/secret", workspace=world.workspace
    )
    assert ran.output.startswith("called\n") and SECRET not in ran.output
    world.server.accept()[0].close()


@pytest.mark.skipif("EXPECTED_USER" not in os.environ, reason="only in a run as another user")
def test_these_tests_run_as_meant() -> None:
    assert os.geteuid() == int(os.environ["EXPECTED_USER"])
    assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
