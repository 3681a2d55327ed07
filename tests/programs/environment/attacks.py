"""Attempts to get out of the jail, by name. Each is code for a guest, with the ways in which it may end.

`attempt` prints `denied` where the kernel or CPython refuses and `THROUGH` where it does not. The variables `SERVER`,
`ZYGOTE` and `SIBLING` are process numbers as the server sees them; `SECRET` is not given: it is in the server's
environment, in its memory and in a sibling's context.
"""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = """
import ctypes, os, platform, sys
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def syscall(x86_64, aarch64, *arguments):
    number = x86_64 if MACHINE == "x86_64" else aarch64
    if number is None:
        raise PermissionError("this machine has no such call")
    given = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in arguments]
    got = _libc.syscall(ctypes.c_long(number), *given)
    if got < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got

def attempt(action):
    try:
        got = action()
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError, AttributeError) as error:
        print("denied", repr(error)[:200])
    else:
        print("THROUGH", repr(got)[:2000])
"""


@dataclass(frozen=True)
class Attack:
    code: str
    ends: frozenset[str]
    """Of: `denied`, `stopped` (a limit, state kept), `lost` (the process ended), `violation`, `harmless`."""


def _attack(code: str, *ends: str) -> Attack:
    return Attack(code.strip() + "\n", frozenset(ends or ("denied",)))


def _tried(expression: str) -> Attack:
    return _attack(f"attempt(lambda: {expression})")


def _called(x86_64: int, aarch64: int | None, arguments: str = "0, 0, 0, 0, 0, 0") -> Attack:
    return _tried(f"syscall({x86_64}, {aarch64}, {arguments})")


ATTACKS: dict[str, Attack] = {
    # files
    "read a file": _tried("open('/etc/passwd').read()"),
    "read a file with os.open": _tried("os.open('/etc/hostname', os.O_RDONLY)"),
    "write a file": _tried("open('/tmp/rants-canary', 'w').write('x')"),
    "list the root": _tried("os.listdir('/')"),
    "stat a file": _tried("os.stat('/etc/passwd')"),
    "follow a symlink": _tried("os.readlink('/proc/self/exe')"),
    "make a symlink": _tried("os.symlink('/etc/passwd', '/tmp/rants-canary')"),
    "hard link a file": _tried("os.link('/etc/passwd', '/tmp/rants-canary')"),
    "change directory": _tried("os.chdir('/tmp')"),
    "get the directory": _tried("os.getcwd()"),
    "chroot": _tried("os.chroot('/tmp')"),
    "make a directory": _tried("os.mkdir('/tmp/rants-canary')"),
    "make a device": _tried("os.mknod('/tmp/rants-canary')"),
    "remove a file": _tried("os.unlink('/tmp/rants-canary')"),
    "rename a file": _tried("os.rename('/etc/passwd', '/tmp/rants-canary')"),
    "change a file's mode": _tried("os.chmod('/tmp', 0)"),
    "truncate a file": _tried("os.truncate('/etc/passwd', 0)"),
    "open by openat2": _called(437, 437, "-100, b'/etc/passwd', bytes(24), 24"),
    "open by file handle": _called(304, 265, "-1, bytes(64), 0"),
    "make a temporary file": _tried("__import__('tempfile').TemporaryFile()"),
    "import a module that is not loaded": _tried("__import__('turtle')"),
    "load a shared library": _tried("ctypes.CDLL('libthread_db.so.1')"),
    "read source through linecache": _attack(
        "import linecache; print('denied' if not linecache.getlines('/etc/passwd') else 'THROUGH')"
    ),
    # /proc
    "read the server's environment": _tried("open(f'/proc/{SERVER}/environ', 'rb').read()"),
    "read the own environment": _tried("open('/proc/self/environ', 'rb').read()"),
    "read the server's memory through proc": _tried("open(f'/proc/{SERVER}/mem', 'rb')"),
    "take the server's descriptors through proc": _tried("os.listdir(f'/proc/{SERVER}/fd')"),
    "reach the root through the zygote": _tried("os.listdir(f'/proc/{ZYGOTE}/root/')"),
    "reopen an own descriptor": _tried("open('/proc/self/fd/3', 'r+b')"),
    # secrets that might have come along
    "environment variables": _attack("print('THROUGH' if os.environ or os.environb else 'denied', dict(os.environ))"),
    "arguments of the process": _attack(
        "print('THROUGH' if any('SECRET' in a or 'key' in a for a in sys.orig_argv) else 'denied')"
    ),
    "environment in native memory": _attack(
        "environ = ctypes.POINTER(ctypes.c_char_p).in_dll(_libc, 'environ')\n"
        "print('THROUGH' if environ and environ[0] else 'denied')"
    ),
    "secrets among all objects": _attack(
        "import gc\n"
        "secret = 'server' + chr(45) + 'secret'\n"
        "found = [o for o in gc.get_objects() if isinstance(o, dict) and any(isinstance(v, str) and secret in v"
        " for v in list(o.values()))]\n"
        "found = [o for o in found if o is not globals()]\nprint('THROUGH' if found else 'denied', found)"
    ),
    "host functions' frames": _attack(
        "frame, names = sys._getframe(), []\n"
        "while frame:\n    names.append(frame.f_code.co_filename); frame = frame.f_back\n"
        "bad = [n for n in names if 'jail.py' in n or 'asyncio' in n]\nprint('THROUGH' if bad else 'denied', names)"
    ),
    "the server's modules": _attack(
        "bad = [m for m in sys.modules if m.split('.')[0] in {'programs', 'server', 'store', 'dspy', 'pydantic'}]\n"
        "print('THROUGH' if bad else 'denied', bad)"
    ),
    "the functions behind host functions": _attack(
        "cells = [c.cell_contents for c in llm_query.__closure__]\n"
        "print('THROUGH' if any('session' in type(c).__name__.lower() for c in cells) else 'denied', cells)"
    ),
    # sockets
    "tcp socket": _tried("__import__('socket').socket()"),
    "unix socket": _tried("__import__('socket').socket(__import__('socket').AF_UNIX)"),
    "netlink socket": _tried("__import__('socket').socket(16, 3)"),
    "raw socket": _tried("__import__('socket').socket(17, 3)"),
    "vsock": _tried("__import__('socket').socket(40, 1)"),
    "datagram socket pair": _tried("__import__('socket').socketpair(1, 2)"),
    "connect with a socket pair's end": _tried("__import__('socket').socketpair()[0].connect('/dev/log')"),
    "bind a socket pair's end": _tried("__import__('socket').socketpair()[0].bind('\\0rants')"),
    "resolve a name": _tried("__import__('socket').gethostbyname('example.com')"),
    "fetch a page": _tried("__import__('urllib.request').request.urlopen('http://127.0.0.1:1/')"),
    "accept on the session": _tried("llm_query.__closure__[0].cell_contents._wire._end.accept()"),
    "send a descriptor to the server": _tried(
        "__import__('socket').send_fds(llm_query.__closure__[0].cell_contents._wire._end, [b'x'], [0])"
    ),
    # processes
    "fork": _tried("os.fork()"),
    "vfork": _called(58, None),
    "clone a process": _called(56, 220, "17, 0, 0, 0, 0"),
    "clone a process that shares memory": _called(56, 220, "0x4111, 0, 0, 0, 0"),
    "clone3": _called(435, 435, "bytes(88), 88"),
    "exec": _tried("os.execv('/bin/sh', ['sh', '-c', 'true'])"),
    "execveat": _called(322, 281, "0, b'', 0, 0, 0x1000"),
    "posix_spawn": _tried("os.posix_spawn('/bin/true', ['true'], {})"),
    "subprocess": _tried("__import__('subprocess').run(['id'])"),
    "os.system": _attack("print('denied' if os.system('true') != 0 else 'THROUGH')"),
    "multiprocessing": _tried("__import__('multiprocessing').get_context('fork').Process(target=print).start()"),
    "memfd exec": _tried("os.memfd_create('x')"),
    "signal the server": _tried("os.kill(SERVER, 9)"),
    "signal the zygote": _tried("os.kill(ZYGOTE, 9)"),
    "signal a sibling": _tried("os.kill(SIBLING, 9)"),
    "signal the parent": _tried("os.kill(os.getppid(), 9)"),
    "signal everybody": _tried("os.kill(-1, 9)"),
    "signal the group": _tried("os.killpg(0, 9)"),
    "tgkill the server": _called(234, 131, "SERVER, SERVER, 9"),
    "queue a signal for the server": _called(129, 138, "SERVER, 9, bytes(128)"),
    "pidfd of the server": _tried("os.pidfd_open(SERVER)"),
    "take a descriptor with pidfd_getfd": _called(438, 438, "0, 0, 0"),
    "signal through an inherited pidfd": _attack(
        "import signal\nfor fd in range(64):\n"
        "    try:\n        signal.pidfd_send_signal(fd, 0); print('THROUGH', fd)\n"
        "    except OSError: pass\nprint('denied')"
    ),
    "own the session socket's signals": _tried("__import__('fcntl').fcntl(3, 8, SERVER)"),
    "ptrace the server": _called(101, 117, "16, SERVER, 0, 0"),
    "ptrace the zygote": _called(101, 117, "16, ZYGOTE, 0, 0"),
    "ptrace a sibling": _called(101, 117, "16, SIBLING, 0, 0"),
    "be traced": _called(101, 117, "0, 0, 0, 0"),
    "read the server's memory": _called(310, 270, "SERVER, bytes(16), 1, bytes(16), 1, 0"),
    "write a sibling's memory": _called(311, 271, "SIBLING, bytes(16), 1, bytes(16), 1, 0"),
    "compare with the server": _called(312, 272, "SERVER, SERVER, 0, 3, 3"),
    "the server's limits": _tried("__import__('resource').prlimit(SERVER, 7)"),
    "raise the own limits": _tried("__import__('resource').setrlimit(9, (-1, -1))"),
    "the server's priority": _tried("os.setpriority(os.PRIO_PROCESS, SERVER, 19)"),
    "the server's cores": _tried("os.sched_setaffinity(SERVER, {0})"),
    "the server's CPU clock": _tried("__import__('time').clock_gettime(~SERVER << 3 | 2)"),
    # the kernel's larger surfaces
    "io_uring": _called(425, 425, "1, bytes(120)"),
    "unshare a user namespace": _tried("os.unshare(os.CLONE_NEWUSER)"),
    "unshare a mount namespace": _tried("os.unshare(os.CLONE_NEWNS)"),
    "setns": _tried("os.setns(3, 0)"),
    "mount": _called(165, 40, "b'none', b'/tmp', b'tmpfs', 0, 0"),
    "new mount interface": _called(430, 430, "b'tmpfs', 0"),
    "pivot_root": _called(155, 41, "b'/', b'/'"),
    "bpf": _called(321, 280, "0, bytes(128), 128"),
    "perf": _called(298, 241, "bytes(128), 0, -1, -1, 0"),
    "keyctl": _called(250, 219, "0, -3, 1"),
    "add_key": _called(248, 217, "b'user', b'x', b'x', 1, -3"),
    "userfaultfd": _called(323, 282, "1"),
    "shared memory": _called(29, 194, "0, 4096, 0o1600"),
    "message queue": _called(68, 186, "0, 0o1600"),
    "posix message queue": _called(240, 180, "b'x', 66, 384, 0"),
    "become root": _tried("os.setuid(0)"),
    "take capabilities": _called(126, 91, "bytes(8), bytes(24)"),
    "another personality": _called(135, 92, "0x0040000"),
    "another seccomp filter": _called(317, 277, "1, 0, 0"),
    "prctl": _called(157, 167, "4, 1, 0, 0, 0"),
    "load a kernel module": _called(175, 105, "b'x', 1, b''"),
    "reboot": _called(169, 142, "0, 0, 0, 0"),
    "set the clock": _called(227, 112, "0, bytes(16)"),
    "set the host's name": _called(170, 161, "b'x', 1"),
    "swap": _called(167, 224, "b'/tmp/x', 0"),
    "read the kernel's log": _called(103, 116, "3, 0, 0"),
    "notify on files": _called(254, 26, "0"),
    "executable memory": _tried("__import__('mmap').mmap(-1, 4096, prot=7)"),
    "make memory executable": _attack(
        "import mmap\nm = mmap.mmap(-1, 4096)\naddress = ctypes.addressof(ctypes.c_char.from_buffer(m))\n"
        "attempt(lambda: syscall(10, 226, address, 4096, 7))"
    ),
    "an ioctl of terminals": _called(16, 29, "0, 0x5412, b'x'"),
    "the foreign ABI": _attack(
        "_libc.syscall(ctypes.c_long(0x40000000 + 39)) if MACHINE == 'x86_64' else os._exit(1)\nprint('THROUGH')",
        "lost",
    ),
    # descriptors
    "use every descriptor": _attack(
        "import stat\nfound = []\nfor fd in range(1024):\n"
        "    try:\n        os.fstat(fd); found.append(fd)\n    except OSError: pass\n"
        "    try:\n        if fd > 4 and os.read(fd, 1): print('THROUGH', fd)\n    except OSError: pass\n"
        "print('denied' if set(found) <= {0, 1, 2, 3} else f'THROUGH {found}')"
    ),
    "exhaust descriptors": _attack(
        "import socket\nkept = []\ntry:\n    while True: kept.append(socket.socketpair())\n"
        "except OSError as e: print('denied', len(kept), e)\ndel kept"
    ),
    "close every descriptor": _attack("os.closerange(0, 1000)\nprint('denied')", "lost"),
    "write to the standard descriptors": _attack("os.write(1, b'x' * 10); os.write(2, b'x'); print('denied')"),
    "duplicate the session's descriptor": _tried("os.dup(3)"),
    # the protocol
    "a frame of 4 GB": _attack(
        "os.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 100)\nimport time; time.sleep(5)", "violation"
    ),
    "a frame that is not JSON": _attack("os.write(3, b'\\0\\0\\0\\5hello')\nimport time; time.sleep(5)", "violation"),
    "a frame of an unknown kind": _attack(
        "import json\nb = json.dumps({'kind': 'eval', 'code': 'x'}).encode()\n"
        "os.write(3, len(b).to_bytes(4) + b)\nimport time; time.sleep(5)",
        "violation",
    ),
    "a frame with an extra field": _attack(
        "import json\nb = json.dumps({'kind': 'ready', 'x': 1}).encode()\n"
        "os.write(3, len(b).to_bytes(4) + b)\nimport time; time.sleep(5)",
        "violation",
    ),
    "a second ready": _attack(
        'b = b\'{"kind": "ready"}\'\nos.write(3, len(b).to_bytes(4) + b)\nimport time; time.sleep(5)', "violation"
    ),
    "a result of another turn": _attack(
        "import json\nb = json.dumps(dict(kind='result', turn=99, head='', tail='', cut=0, error=None, submitted=None))"
        ".encode()\nos.write(3, len(b).to_bytes(4) + b)\nimport time; time.sleep(5)",
        "violation",
    ),
    "a result longer than shown": _attack(
        "import json\nb = json.dumps(dict(kind='result', turn=TURN, head='x' * 1000000, tail='', cut=0, error=None,"
        " submitted=None)).encode()\n"
        "llm_query.__closure__[0].cell_contents._wire._end.sendall(len(b).to_bytes(4) + b)\nimport time; time.sleep(5)",
        "violation",
    ),
    "a host function that there is not": _attack(
        "guest = llm_query.__closure__[0].cell_contents\nguest.call('__import__', ['os'], {})", "violation"
    ),
    "a host function's attribute": _attack(
        "guest = llm_query.__closure__[0].cell_contents\nguest.call('llm_query.__globals__', [], {})", "violation"
    ),
    "arguments of another type": _attack(
        "guest = llm_query.__closure__[0].cell_contents\nguest.call('llm_query', [{'a': 1}], {})", "violation"
    ),
    "named arguments that are not taken": _attack(
        "guest = llm_query.__closure__[0].cell_contents\nguest.call('llm_query', ['a'], {'api_key': 'x'})", "violation"
    ),
    "the number of an open call again": _attack(
        "import json\nb = json.dumps(dict(kind='call', id=7, name='slow', values=[], fields={})).encode()\n"
        "os.write(3, 2 * (len(b).to_bytes(4) + b))\nimport time; time.sleep(5)",
        "violation",
    ),
    "JSON as deep as memory": _attack(
        'b = b\'{"kind":"call","id":1,"name":"slow","values":\' + b\'[\' * 100000'
        " + b']' * 100000 + b',\"fields\":{}}'\n"
        "llm_query.__closure__[0].cell_contents._wire._end.sendall(len(b).to_bytes(4) + b)\nimport time; time.sleep(5)",
        "violation",
    ),
    "half a frame": _attack("os.write(3, b'\\0\\0\\1\\0{')\nwhile True: pass", "violation", "lost"),
    "results without end": _attack(
        "import json\ns = llm_query.__closure__[0].cell_contents._wire._end\n"
        "b = json.dumps(dict(kind='result', turn=TURN, head='', tail='', cut=0, error=None, submitted=None)).encode()\n"
        "while True: s.sendall(len(b).to_bytes(4) + b)",
        "harmless",
    ),
    "calls without end": _attack(
        "import threading\nguest = llm_query.__closure__[0].cell_contents\n"
        "def flood():\n    while True: guest._wire.send(dict(kind='call', id=next(guest._ids), name='slow', values=[],"
        " fields={}))\n"
        "for _ in range(4): threading.Thread(target=flood, daemon=True).start()\nwhile True: pass",
        "stopped",
        "lost",
    ),
    "answers that nobody reads": _attack(
        "import threading, time\nguest = llm_query.__closure__[0].cell_contents\n"
        "guest._wire.receive = lambda: time.sleep(1000)\n"
        "def ask():\n    for _ in range(50): guest._wire.send(dict(kind='call', id=next(guest._ids), name='llm_query',"
        " values=['x' * 1000000], fields={}))\n"
        "threading.Thread(target=ask, daemon=True).start()\ntime.sleep(1000)",
        "stopped",
        "lost",
    ),
    # memory and output
    "memory bomb": _tried("bytearray(1 << 40)"),
    "memory bomb in pieces": _attack(
        "kept = []\ntry:\n    while True: kept.append(bytearray(1 << 24))\n"
        "except MemoryError:\n    n = len(kept); kept.clear(); print('denied', n)"
    ),
    "memory bomb of strings": _tried("'x' * (1 << 40)"),
    "memory bomb of objects": _attack(
        "def bomb():\n    kept = []\n    while True: kept.append([None] * 1000000)\nattempt(bomb)",
        "denied",
        "lost",
        "stopped",
    ),
    "shared anonymous memory": _attack(
        "import mmap\nkept = []\ntry:\n    while True: kept.append(mmap.mmap(-1, 1 << 26))\n"
        "except (OSError, MemoryError): kept.clear(); print('denied')"
    ),
    "locked memory": _called(149, 228, "0, 4096"),
    "output flood": _attack("while True: print('x' * 100000)", "stopped"),
    "one long line": _attack("print('y' * 50000000); print('denied')", "denied", "stopped"),
    "an answer without end": _attack("attempt(lambda: SUBMIT('x' * (64 << 20)))", "denied", "stopped"),
    "an error without end": _attack("raise ValueError('x' * 10000000)", "harmless"),
    "an exception with a name without end": _attack("raise type('E' * 1000000, (Exception,), {})('x')", "harmless"),
    # threads
    "thread bomb": _attack(
        "import threading, time\nmade = []\ntry:\n    while True:\n"
        "        t = threading.Thread(target=time.sleep, args=(30,), daemon=True); t.start(); made.append(t)\n"
        "except RuntimeError as e: print('denied', len(made), e)"
    ),
    "threads that outlive the turn": _attack(
        "import threading\ndef spin():\n    while True: pass\n"
        "for _ in range(4): threading.Thread(target=spin, daemon=True).start()\nprint('denied')"
    ),
    # time
    "infinite loop": _attack("while True: pass", "stopped"),
    "sleep": _attack("import time; time.sleep(1000)", "stopped"),
    "infinite loop that swallows everything": _attack(
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass", "lost"
    ),
    "catastrophic regex": _attack("import re; re.match(r'(a+)+$', 'a' * 50 + 'b')", "stopped", "lost"),
    "a huge power": _attack("x = 7 ** (10 ** 9)", "stopped", "lost", "denied"),
    "a sum in C": _attack("sum(range(10 ** 15))", "lost"),
    "a sort that never ends": _attack("import itertools; max(itertools.repeat(1))", "lost"),
    "a signal handler that swallows the time-out": _attack(
        "import signal\nsignal.signal(signal.SIGUSR1, lambda *a: None)\nwhile True: pass", "lost"
    ),
    "all signals ignored": _attack(
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        "lost",
    ),
    "all signals blocked": _attack(
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass", "stopped", "lost"
    ),
    "an alarm of its own": _tried("__import__('signal').setitimer(0, 1)"),
    "a wait for a host call while a thread computes": _attack(
        "import threading\nthreading.Thread(target=lambda: slow(), daemon=True).start()\nwhile True: pass", "stopped"
    ),
    # the interpreter
    "SUBMIT caught": _attack(
        "try:\n    SUBMIT('first')\nexcept Exception:\n    print('THROUGH')\nprint('THROUGH')", "harmless"
    ),
    "SUBMIT caught by all means": _attack(
        "try:\n    SUBMIT('first')\nexcept BaseException: pass\ntry:\n    SUBMIT('second')\nexcept BaseException: pass",
        "harmless",
    ),
    "settrace": _attack(
        "def trace(frame, event, arg):\n    frame.f_trace_opcodes = True\n    return trace\nsys.settrace(trace)\n"
        "sys.setprofile(trace)\nprint('denied')"
    ),
    "a trace function that raises": _attack(
        "def trace(*a): raise KeyError('x')\nsys.setprofile(trace)", "lost", "harmless"
    ),
    "replace the standard output": _attack("sys.stdout = None; sys.stderr = None\nsys.stdout = 3", "harmless"),
    "delete the built-ins": _attack("import builtins\nbuiltins.__dict__.clear()", "harmless", "lost"),
    "an error that cannot be told": _attack(
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E", "harmless"
    ),
    "an error whose telling never ends": _attack(
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E", "lost"
    ),
    "os._exit": _attack("os._exit(0)", "lost"),
    "sys.exit": _attack("sys.exit(1)", "harmless"),
    "atexit": _attack("import atexit\natexit.register(os.fork)\nos.abort()", "lost"),
    "__del__ at the end": _attack(
        "class D:\n    def __del__(self): open('/tmp/rants-canary', 'w')\nd = D()\nraise SystemExit", "harmless"
    ),
    "deep recursion": _attack("def f(): return f()\ntry:\n    f()\nexcept RecursionError: print('denied')"),
    "recursion without a limit": _attack(
        "sys.setrecursionlimit(2 ** 31 - 1)\ndef f(): return f()\nf()", "harmless", "lost", "stopped"
    ),
    "a null pointer": _attack("ctypes.string_at(0)", "lost"),
    "wild writes": _attack("ctypes.memset(id(None), 0, 1 << 20)", "lost"),
    "garbage as code": _attack(
        "exec(type(attempt.__code__).replace(attempt.__code__, co_code=bytes(200)))", "lost", "harmless"
    ),
    "patch the guest's own sending": _attack(
        "guest = llm_query.__closure__[0].cell_contents\nguest._wire.send = lambda frame: None\n", "lost", "stopped"
    ),
    "wait for the server to leave": _attack("import threading; threading.Event().wait()", "stopped"),
}
