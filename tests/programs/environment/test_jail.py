"""What is the jail's own: its CPython, its limits, threads that call, its processes and their end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from programs.environment import (
    EnvironmentUnavailable,
    Jail,
    probes,
)
from tests.programs.environment.conftest import Open, alive, gone, no_task_but_this, until


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- the namespace


async def test_a_lone_surrogate_in_the_context_or_the_output_harms_nobody(open_session: Open) -> None:
    session = await open_session("a\ud800b")
    assert (await session.execute("print(context); print(chr(0xD800)); SUBMIT(chr(0xD800))")).stdout == "a?b\n?\n"


async def test_classes_belong_to_the_main_module(open_session: Open) -> None:
    session = await open_session("text")
    await session.execute("class A: pass")
    assert (await session.execute("print(A.__module__)")).stdout == "__main__\n"


async def test_random_begins_where_it_is_told_to(jail: Jail) -> None:
    drawn = []
    for seed in (7, 7, 8):
        async with aclosing(await jail.open("", seed=seed)) as session:
            drawn.append((await session.execute("import random; print(random.sample(range(10**6), 5))")).stdout)
    assert drawn[0] == drawn[1] != drawn[2]


async def test_random_differs_between_sessions(open_session: Open) -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    assert len({(await (await open_session("")).execute(code)).stdout for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "code",
    [
        "import datetime; print(datetime.datetime.strptime('2024-05-06', '%Y-%m-%d').date())",
        "import asyncio\nasync def f(): await asyncio.sleep(0.01); return 1\n"
        "async def main(): return await asyncio.gather(f(), asyncio.to_thread(sum, [1]))\nprint(asyncio.run(main()))",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: print(sum(pool.map(len, ['a'] * 100)))",
        "import dataclasses, enum, typing, decimal, fractions, statistics, csv, io, json, html, difflib, sqlite3\n"
        "@dataclasses.dataclass\nclass P:\n    x: 'int' = 1\nprint(P(), decimal.Decimal('1.1') + 1)",
        "import xml.etree.ElementTree as e; print(e.fromstring('<a><b/></a>').tag)",
        "print('x'.encode('cp1252'), 'é'.encode('koi8-r', 'replace'), b'a'.decode('utf-16-le', 'replace'))",
        "import sqlite3; print(sqlite3.connect(':memory:').execute('select 1').fetchall())",
        "import pickle, copy, zlib, hashlib, base64, uuid, secrets, heapq, bisect, itertools, operator, string\n"
        "print(pickle.loads(pickle.dumps({1: 2})), hashlib.sha256(b'').hexdigest()[:4])",
        "import unicodedata, textwrap, pprint, calendar, collections.abc, urllib.parse, email.message, logging\n"
        "logging.warning('seen'); print(urllib.parse.quote('é'))",
    ],
)
async def test_the_standard_library_works(open_session: Open, code: str) -> None:
    turn = await (await open_session("")).execute(code)
    assert turn.error is None, turn
    assert turn.stdout


# --- limits


async def test_an_endless_loop_is_stopped_and_state_is_kept(open_session: Open) -> None:
    session = await open_session("text", wall_seconds=0.3)
    pid = session.pid
    await session.execute("x = 5")
    turn = await session.execute("y = 6\nwhile True: pass")
    assert turn.error is not None
    assert turn.error.name == "TimeLimit"
    assert "0.3 s" in turn.error.message
    assert not turn.fresh
    assert (await session.execute("print(x, y)")).stdout == "5 6\n"
    assert session.pid == pid


async def test_cpu_time_is_limited_by_itself(open_session: Open) -> None:
    turn = await (await open_session("", cpu_seconds=0.2)).execute("while True: pass")
    assert turn.error is not None
    assert "CPU" in turn.error.message
    assert turn.cpu_seconds >= 0.2


async def test_code_that_does_not_yield_costs_the_state(open_session: Open) -> None:
    session = await open_session("text", wall_seconds=0.2)
    await session.execute("x = 1")
    turn = await session.execute("sum(range(10 ** 14))")
    assert turn.fresh
    assert turn.error is not None
    assert turn.error.name == "TimeLimit"
    after = await session.execute("print(context, 'x' in globals())")
    assert (after.stdout, after.fresh) == ("text False\n", False)


async def test_a_process_that_ends_costs_the_state(open_session: Open) -> None:
    session = await open_session("text")
    turn = await session.execute("import os; os._exit(0)")
    assert turn.fresh
    assert turn.error is not None
    assert turn.error.name == "EnvironmentLost"
    assert (await session.execute("print(context)")).stdout == "text\n"


async def test_too_much_memory_is_an_observation(open_session: Open) -> None:
    session = await open_session("", memory_base=64 << 20)
    turn = await session.execute("x = 'kept'\nbytearray(256 << 20)")
    assert turn.error is not None
    assert turn.error.name == "MemoryError"
    assert (await session.execute("print(x)")).stdout == "kept\n"


async def test_the_memory_limit_grows_with_the_context(open_session: Open) -> None:
    session = await open_session("x" * (20 << 20) + "😀", memory_base=64 << 20)
    turn = await session.execute("print(len(context.split('x')), len(context + 'y'))")
    assert turn.error is None, turn


async def test_threads_are_limited(jail: Jail, open_session: Open) -> None:
    session = await open_session("", threads=8)
    turn = await session.execute(
        "import threading\nstop = threading.Event()\n"
        "for n in range(20):\n    threading.Thread(target=stop.wait).start()"
    )
    if jail.layers["namespaces"]:
        assert turn.error is not None
        assert turn.error.name == "RuntimeError"
    assert (await session.execute("stop.set(); print('ok')")).stdout == "ok\n"


async def test_a_thread_left_behind_computes_nothing_between_turns(open_session: Open) -> None:
    session = await open_session("")
    await session.execute(
        "import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\n"
        "threading.Thread(target=count, daemon=True).start()"
    )
    clock = ~(session.pid or 0) << 3 | 2
    before, now = -1.0, time.clock_gettime(clock)
    async with asyncio.timeout(10):  # a busy system stops it a moment later
        while now != before:
            await asyncio.sleep(0.1)
            before, now = now, time.clock_gettime(clock)
    await asyncio.sleep(0.2)
    assert time.clock_gettime(clock) == now


# --- host functions


async def test_host_functions_run_concurrently_and_the_clock_stands_still(open_session: Open) -> None:
    running = most = 0

    async def llm_query(prompt: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.5)
        running -= 1
        return prompt.upper()

    session = await open_session("", host={"llm_query": llm_query}, wall_seconds=0.4)
    turn = await session.execute(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def nested(p):\n    return (lambda: llm_query(p))()\n"
        "with ThreadPoolExecutor(20) as pool: print(''.join(pool.map(nested, 'abcdefghijklmnopqrst')))"
    )
    assert turn.stdout == "ABCDEFGHIJKLMNOPQRST\n"
    assert turn.error is None
    assert most == 20
    assert turn.wall_seconds < 0.4


async def test_asyncio_code_may_call_from_threads(open_session: Open) -> None:
    async def llm_query(prompt: str) -> str:
        await asyncio.sleep(0.01)
        return prompt

    session = await open_session("", host={"llm_query": llm_query})
    turn = await session.execute(
        "import asyncio\nasync def main():\n"
        "    return await asyncio.gather(*[asyncio.to_thread(llm_query, str(n)) for n in range(10)])\n"
        "print(asyncio.run(main()))"
    )
    assert turn.stdout == str([str(n) for n in range(10)]) + "\n"


async def test_more_calls_than_allowed_wait_their_turn(open_session: Open) -> None:
    running = most = 0

    async def llm_query(prompt: str) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return prompt

    session = await open_session("", host={"llm_query": llm_query}, host_calls=3)
    turn = await session.execute(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(20) as pool: print(len(list(pool.map(llm_query, range(40)))))"
    )
    assert (turn.stdout, most) == ("40\n", 3)


async def test_a_call_that_outlives_its_turn_is_cancelled(open_session: Open) -> None:
    cancelled = asyncio.Event()

    async def llm_query(prompt: str) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return prompt

    session = await open_session("", host={"llm_query": llm_query})
    turn = await session.execute(
        "import threading, time\nsaid = []\n"
        "def ask():\n    try: llm_query('x')\n    except RuntimeError as e: said.append(e)\n"
        "t = threading.Thread(target=ask); t.start(); time.sleep(0.1)"
    )
    assert turn.error is None
    assert cancelled.is_set()
    assert (await session.execute("t.join(); print(said)")).stdout == "[RuntimeError('its turn has ended')]\n"


# --- the end


async def test_a_cancelled_turn_that_does_not_yield_leaves_nothing(open_session: Open) -> None:
    session = await open_session("text")
    pid = session.pid
    turn = asyncio.create_task(session.execute("sum(range(10 ** 14))"))
    await asyncio.sleep(0.1)
    assert alive(pid)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    await gone(pid)
    await no_task_but_this()
    after = await session.execute("print(context)")
    assert (after.stdout, after.fresh) == ("text\n", True)


async def test_opening_may_be_cancelled_at_any_moment(jail: Jail) -> None:
    await jail.start()
    before = open_descriptors()
    for delay in range(12):
        opening = asyncio.create_task(jail.open("x" * 3_000_000))
        await asyncio.sleep(delay / 500)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).aclose()
    await no_task_but_this()
    await until(lambda: open_descriptors() <= before)


async def test_a_hundred_sessions_live_side_by_side(open_session: Open) -> None:
    sessions = await asyncio.gather(*[open_session(f"context {n}") for n in range(100)])
    turns = await asyncio.gather(*[session.execute("print(context)") for session in sessions])
    assert [turn.stdout for turn in turns] == [f"context {n}\n" for n in range(100)]
    assert len({session.pid for session in sessions}) == 100


async def test_a_context_of_a_hundred_megabytes(open_session: Open) -> None:
    session = await open_session("0123456789" * 10_000_000)
    assert (await session.execute("print(len(context), context[-3:])")).stdout == "100000000 789\n"


async def test_the_guests_die_with_the_jail() -> None:
    jail = Jail()
    session = await jail.open("x")
    pid, zygote = session.pid, jail.pid
    await jail.aclose()
    await gone(pid)
    assert not alive(zygote)
    await session.aclose()
    await jail.aclose()


async def test_a_zygote_that_was_killed_is_started_again() -> None:
    jail = Jail()
    try:
        session = await jail.open("x")
        zygote = jail.pid
        assert zygote is not None
        os.kill(zygote, 9)
        await gone(session.pid)
        assert (await session.execute("1")).fresh
        await session.aclose()
        again = await jail.open("y")
        assert (await again.execute("print(context)")).stdout == "y\n"
        assert jail.pid != zygote
        await again.aclose()
    finally:
        await jail.aclose()


async def test_a_self_test_that_does_not_pass_is_an_error_that_says_what(monkeypatch: pytest.MonkeyPatch) -> None:
    leaky = probes._SOURCE.replace('lambda: open("/etc/passwd")', "lambda: None")
    monkeypatch.setattr(probes, "_SOURCE", leaky)
    jail = Jail()
    with pytest.raises(EnvironmentUnavailable, match="open a file: it got through"):
        await jail.open("x")
    assert jail.pid is None


async def test_a_self_test_that_does_not_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_SOURCE", "raise KeyError('{server}{machine}')")
    jail = Jail()
    with pytest.raises(EnvironmentUnavailable, match="not tried"):
        await jail.start()
    assert jail.pid is None
