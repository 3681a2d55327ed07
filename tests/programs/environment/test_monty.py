"""What is monty's own: what it lacks, its limits, its helpers' process, its workers and their end."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from programs.environment import EnvironmentUnavailable, Monty
from programs.environment import monty as module
from programs.environment.inside.helpers import bound_to
from tests.programs.environment.conftest import OpenMonty, gone, no_task_but_this, until

# --- its Python

LACKS = {
    "def f():\n    yield 1": "NotImplementedError",
    "x = [1]\ndel x[0]": "NotImplementedError",
    "class E(Exception): pass": "NotImplementedError",
    "class A:\n    @property\n    def p(self): return 1": "NotImplementedError",
    "class A:\n    @staticmethod\n    def p(): return 1": "NotImplementedError",
    "class A:\n    @classmethod\n    def p(cls): return 1": "NotImplementedError",
    "class A:\n    def __len__(self): return 1\nlen(A())": "TypeError",
    "class A:\n    def __lt__(self, other): return True\nA() < A()": "TypeError",
    "callable(len)": "NameError",
    "globals()": "NameError",
    "dir()": "NameError",
    "vars()": "NameError",
    "import statistics": "ModuleNotFoundError",
    "import string": "ModuleNotFoundError",
    "import textwrap": "ModuleNotFoundError",
    "import operator": "ModuleNotFoundError",
    "import heapq": "ModuleNotFoundError",
    "import io": "ModuleNotFoundError",
    "import threading": "ModuleNotFoundError",
    "import re\nre.sub('a', lambda m: 'b', 'a')": "TypeError",
    "import re\nre.search('(?P<n>a)', 'a').span('n')": "IndexError",
    "import re\nre.search('(?P<n>a)', 'a').start('n')": "IndexError",
    "import re\nre.X": "AttributeError",
    "str.maketrans('a', 'b')": "AttributeError",
    "'a'.translate({97: 'b'})": "AttributeError",
    "import json\njson.dumps(1, default=str)": "TypeError",
    "next(x for x in [1])": "TypeError",
    "list(map(llm_query, 'a'))": "NotImplementedError",
    "list(filter(peek, [1]))": "NotImplementedError",
    "sorted('ab', key=lambda p: llm_query(p))": "NotImplementedError",
    "class A:\n    def __str__(self): return llm_query('x')\nprint(A())": "NotImplementedError",
}
"""What the dialect says does not work, and how it fails."""

HAS = [
    "import asyncio, base64, bisect, copy, csv, dataclasses, datetime, decimal, hashlib, itertools, json, math, random",
    "import re, time, typing, unicodedata",
    "from collections import Counter, defaultdict, deque, namedtuple",
    "from functools import cache, lru_cache, partial, reduce",
    "print([llm_query(p) for p in 'ab'], {p: llm_query(p) for p in 'ab'}, ''.join(llm_query(p) for p in 'ab'))",
    "import asyncio\nasync def f(p): return llm_query(p)\nasync def g(): return await asyncio.gather(f('a'), f('b'))\n"
    "print(asyncio.run(g()))",
    "class A:\n    def __repr__(self): return 'A'\n    def __eq__(self, other): return True\nassert A() == A()",
    "match {'a': 1}:\n    case {'a': x}: assert x == 1",
    "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nassert P(1).x == 1",
    "import re\nm = re.search(r'(?P<n>a)(?<=a)b', 'ab', re.I)\nassert m['n'] == m.groupdict()['n'] == 'a'",
    "import datetime\ndatetime.datetime.strptime('2024-05-06', '%Y-%m-%d')",
    "import time\nbefore = time.time()\ntime.sleep(1000)\nassert time.time() - before < 5",
]


async def _echo(prompt: str) -> str:
    return prompt


@pytest.mark.parametrize("code", LACKS)
async def test_what_the_dialect_says_is_not_there_is_not(open_monty: OpenMonty, code: str) -> None:
    turn = await (await open_monty("text", host={"llm_query": _echo})).execute(code)
    assert turn.error is not None
    assert turn.error.name == LACKS[code]


@pytest.mark.parametrize("code", HAS)
async def test_the_rest_is(open_monty: OpenMonty, code: str) -> None:
    turn = await (await open_monty("text", host={"llm_query": _echo})).execute(code)
    assert turn.error is None


async def test_a_call_from_where_none_may_be_says_what_to_do(open_monty: OpenMonty) -> None:
    turn = await (await open_monty("text")).execute("list(map(peek, [1]))")
    assert turn.error is not None
    assert "call them in a loop or a comprehension" in turn.error.message


async def test_a_lone_surrogate_harms_nobody(open_monty: OpenMonty) -> None:
    async def llm_query(prompt: str) -> str:
        return "b\ud800"

    session = await open_monty(["a\ud800"], question="\ud800", host={"llm_query": llm_query})
    code = "print(context, question, v, llm_query(''), '\ud800')"
    assert (await session.execute(code, variables={"v": "\ud800"})).stdout == "['a?'] ? ? b? ?\n"


# --- nothing is in reach


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (f"open({__file__!r})", "PermissionError"),
        ("open('new', 'w')", "PermissionError"),
        (f"from pathlib import Path\nPath({__file__!r}).read_text()", "PermissionError"),
        ("from pathlib import Path\nPath('/').exists()", "PermissionError"),
        ("import os\nos.listdir('/')", "PermissionError"),
        ("import os\nos.environ['PATH']", "RuntimeError"),
        ("import os\nos.getenv('PATH')", "RuntimeError"),
        ("import os\nos.system('true')", "AttributeError"),
        ("import socket", "ModuleNotFoundError"),
        ("import subprocess", "ModuleNotFoundError"),
        ("__import__('socket')", "NameError"),
        ("_help('main', [], (), {})", "NameError"),
        ("_help()", "NameError"),
    ],
)
async def test_what_asks_a_system_is_refused(open_monty: OpenMonty, code: str, error: str) -> None:
    turn = await (await open_monty("")).execute(code)
    assert turn.error is not None
    assert turn.error.name == error


async def test_a_self_test_that_does_not_pass_is_an_error_that_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._PROBES, "open a file", "pass")
    monkeypatch.setitem(module._PROBES, "import socket", "raise KeyError")
    monty = Monty()
    with pytest.raises(EnvironmentUnavailable, match=r"open a file: it got through; import socket: .*KeyError"):
        await monty.open("x")


async def test_without_its_program_it_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONTY_BIN", str(tmp_path / "none"))
    with pytest.raises(EnvironmentUnavailable, match="none"):
        await Monty().start()
    ends_at_once = tmp_path / "true"
    ends_at_once.write_text("#!/bin/sh\n")
    ends_at_once.chmod(0o755)
    monkeypatch.setenv("MONTY_BIN", str(ends_at_once))
    with pytest.raises(EnvironmentUnavailable, match="crashed"):
        await Monty().start()


async def test_a_context_beyond_its_limits_is_an_error(open_monty: OpenMonty) -> None:
    with pytest.raises(EnvironmentUnavailable, match="memory"):
        await open_monty("x" * 10_000_000, memory_base=1 << 20, memory_per_context_byte=0)


# --- limits


async def test_code_stopped_in_mid_operation_costs_the_state(open_monty: OpenMonty) -> None:
    session = await open_monty("text", wall_seconds=0.2)
    await session.execute("x = 1")
    turn = await session.execute("print('so far')\ntry:\n    while True: pass\nexcept BaseException:\n    pass")
    assert turn.error is not None
    assert turn.error.name == "TimeLimit"
    assert "0.2 s." in turn.error.message
    assert (turn.stdout, turn.fresh) == ("so far\n", True)
    assert 0.2 <= turn.wall_seconds < 1
    after = await session.execute("print(context)\nx")
    assert after.error is not None
    assert after.error.name == "NameError"
    assert 'File "<turn 3>", line 2' in after.error.traceback
    assert (after.stdout, after.fresh) == ("text\n", False)


async def test_cpu_time_is_limited_by_itself(open_monty: OpenMonty) -> None:
    turn = await (await open_monty("", cpu_seconds=0.2)).execute("sum(range(10 ** 14))")
    assert turn.error is not None
    assert "0.2 s of CPU time" in turn.error.message
    assert turn.cpu_seconds >= 0.2


@pytest.mark.parametrize("call", ["SUBMIT(1)", "nobody(1)", "nobody", "open('x')", "llm_query('x')"])
async def test_code_that_calls_and_swallows_what_comes_is_stopped(open_monty: OpenMonty, call: str) -> None:
    session = await open_monty("", host={"llm_query": _echo}, wall_seconds=0.2)
    since = time.monotonic()
    turn = await session.execute(f"while True:\n    try:\n        {call}\n    except BaseException:\n        pass")
    assert turn.error is not None
    assert turn.error.name == "TimeLimit"
    assert turn.fresh
    assert turn.submitted == (call == "SUBMIT(1)")
    assert time.monotonic() - since < 5
    assert (await session.execute("print(1)")).stdout == "1\n"


async def test_the_clock_stands_still_while_a_host_function_runs(open_monty: OpenMonty) -> None:
    async def llm_query(prompt: str) -> str:
        await asyncio.sleep(0.3)
        return prompt

    session = await open_monty("", host={"llm_query": llm_query}, wall_seconds=0.2)
    turn = await session.execute("print(llm_query('a') + llm_query('b'))")
    assert (turn.stdout, turn.error) == ("ab\n", None)
    assert turn.wall_seconds < 0.2


async def test_a_pattern_that_never_ends_is_stopped_and_holds_up_nobody(open_monty: OpenMonty) -> None:
    session = await open_monty("a" * 40 + "b", wall_seconds=0.5)
    await session.execute("x = 1")
    turn = asyncio.create_task(session.execute("try:\n    grep('(a+)+$')\nexcept Exception:\n    print('caught')"))
    longest, last = 0.0, time.monotonic()
    while not turn.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    told = await turn
    assert longest < 0.3
    assert told.error is not None
    assert told.error.message == "Stopped after 0.5 s. What was defined before is kept."
    assert (told.stdout, told.fresh) == ("", False)
    assert (await session.execute("print(x, peek(0, 2))")).stdout == "1 aa\n"


async def test_full_memory_costs_the_state(open_monty: OpenMonty) -> None:
    session = await open_monty("text", memory_base=32 << 20)
    turn = await session.execute("x = []\nwhile True: x.append('ab' * 100000)")
    assert turn.error is not None
    assert turn.error.name == "MemoryError"
    assert turn.fresh
    assert (await session.execute("print(context)")).stdout == "text\n"


async def test_the_memory_limit_grows_with_the_context(open_monty: OpenMonty) -> None:
    code = "x = context + 'y'\nprint(len(x))"
    session = await open_monty("x" * (8 << 20), memory_base=1 << 20)
    assert (await session.execute(code)).stdout == f"{(8 << 20) + 1}\n"
    session = await open_monty("x" * (8 << 20), memory_base=1 << 20, memory_per_context_byte=1.5)
    assert (await session.execute(code)).error is not None


async def test_helpers_are_held_to_their_memory(open_monty: OpenMonty) -> None:
    session = await open_monty("ab " * 100_000, memory_base=8 << 20)
    turn = await session.execute("x = chunks(1)")
    assert turn.error is not None
    assert turn.error.name == "MemoryError"
    assert (await session.execute("print(peek(0, 2))")).stdout == "ab\n"


# --- helpers


@pytest.mark.parametrize(
    "context",
    [
        "One line.\nThe second, é😀.\n\nThe needle is here. " * 30,
        ["One document.", "Another one, with a needle."],
        [{"role": "user", "content": "Where is the needle?"}, {"role": "assistant", "content": "There."}],
    ],
)
async def test_the_helpers_are_those_of_the_jail(open_monty: OpenMonty, context: Any) -> None:
    calls = ["peek(3, 9)", "peek(-5)", "grep('NEEDLE', limit=2)", "search('needles', 1)", "chunks(20)"]
    turn = await (await open_monty(context)).execute(f"SUBMIT([{', '.join(calls)}])")
    assert turn.answer == [eval(call, dict(bound_to(lambda: context))) for call in calls]


# --- workers


async def test_a_worker_that_dies_costs_the_state(open_monty: OpenMonty) -> None:
    session = await open_monty("text")
    await session.execute("x = 1")
    os.kill(session.pid or 0, 9)
    turn = await session.execute("print(x)")
    assert turn.error is not None
    assert turn.error.name == "EnvironmentLost"
    assert turn.fresh
    assert (await session.execute("print(context)")).stdout == "text\n"


async def test_a_worker_serves_one_session(open_monty: OpenMonty) -> None:
    session = await open_monty("secret")
    pid = session.pid
    await session.aclose()
    await gone(pid)


async def test_many_sessions_live_side_by_side(open_monty: OpenMonty) -> None:
    sessions = await asyncio.gather(*[open_monty(f"context {n}") for n in range(30)])
    turns = await asyncio.gather(*[session.execute("print(context, peek(-1))") for session in sessions[:5]])
    assert [turn.stdout for turn in turns] == [f"context {n} {n}\n" for n in range(5)]
    assert len({session.pid for session in sessions}) == 30


async def test_sessions_of_several_event_loops_share_it(monty: Monty, open_monty: OpenMonty) -> None:
    ours = await open_monty("ours")
    printed: list[str] = []

    async def theirs() -> None:
        session = await monty.open("theirs")
        printed.append((await session.execute("print(peek())")).stdout)
        await session.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(theirs()))
    thread.start()
    assert (await ours.execute("print(context)")).stdout == "ours\n"
    await until(lambda: not thread.is_alive())
    assert printed == ["theirs\n"]


async def test_opening_may_be_cancelled_at_any_moment(monty: Monty) -> None:
    await monty.start()
    for delay in range(10):
        opening = asyncio.create_task(monty.open("x" * 2_000_000))
        await asyncio.sleep(delay / 500)
        opening.cancel()
        try:
            session = await opening
        except asyncio.CancelledError:
            continue
        await session.aclose()
    await no_task_but_this()
    assert (await (await monty.open("")).execute("print(1)")).stdout == "1\n"


async def test_a_session_that_was_open_outlives_monty_and_no_other_is_opened(open_monty: OpenMonty) -> None:
    monty = Monty()
    session = await monty.open("text")
    pid = session.pid
    await monty.aclose()
    await monty.aclose()
    assert (await session.execute("print(context)")).stdout == "text\n"
    await session.aclose()
    await gone(pid)
