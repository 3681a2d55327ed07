"""One environment of a kind for the whole process, and never another than was asked for."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from programs.environment import Jail, Monty, shared
from tests.programs.environment.conftest import alive, gone


def test_each_kind_is_one_for_all() -> None:
    assert isinstance(shared("jail"), Jail)
    assert isinstance(shared("monty"), Monty)
    assert shared("jail") is shared("jail")
    assert shared("monty") is shared("monty")


@pytest.mark.parametrize(("system", "kind"), [("linux", "jail"), ("darwin", "monty"), ("win32", "monty")])
def test_auto_is_the_jail_on_linux_and_monty_elsewhere(monkeypatch: pytest.MonkeyPatch, system: str, kind: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert shared("auto").name == kind


async def started(script: str) -> asyncio.subprocess.Process:
    """A server that has a session in each environment, tells their processes and the zygote's, and runs `script`."""
    opening = (
        "import asyncio\n"
        "from programs.environment import Limits, shared\n"
        "async def main():\n"
        "    sessions = [await shared(kind).open('x', limits=Limits(wall_seconds=1)) for kind in ('jail', 'monty')]\n"
        "    print(shared('jail').pid, *[session.pid for session in sessions], flush=True)\n"
    )
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{opening}    {script}\nasyncio.run(main())"),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
    )


async def pids_of(server: asyncio.subprocess.Process) -> list[int]:
    assert server.stdout is not None
    return list(map(int, (await server.stdout.readline()).split()))


async def test_no_guest_outlives_the_server() -> None:
    server = await started("for session in sessions: assert (await session.execute('print(peek())')).stdout == 'x\\n'")
    pids = await pids_of(server)
    assert len(pids) == 3
    assert await server.wait() == 0
    for pid in pids:
        await gone(pid)


async def test_no_guest_outlives_a_server_that_is_killed_by_more_than_its_limit() -> None:
    server = await started("await asyncio.gather(*[session.execute('while True: pass') for session in sessions])")
    pids = await pids_of(server)
    assert all(map(alive, pids))
    server.kill()
    await server.wait()
    for pid in pids:
        await gone(pid)
