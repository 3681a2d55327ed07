"""Programs that block have their calls made on the loop that waits for them, and end with it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from evals.threads import Calls, threaded


async def test_a_program_s_calls_are_made_on_the_loop() -> None:
    calls, loop = Calls(), asyncio.get_running_loop()

    async def here() -> bool:
        return asyncio.get_running_loop() is loop

    def program() -> tuple[bool, bool]:
        return calls.run(here()), threading.current_thread() is threading.main_thread()

    assert await threaded(program, calls) == (True, False)


async def test_a_program_that_is_cut_off_has_ended_and_can_call_no_more() -> None:
    calls, begun, ends = Calls(), asyncio.Event(), list[str]()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    def program() -> None:
        for _ in range(2):
            try:
                calls.run(never())
            except CancelledError:
                ends.append("cut")

    work = asyncio.create_task(threaded(program, calls))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await work
    assert ends == ["cut", "cut"]


async def test_what_a_program_raises_is_raised() -> None:
    def program() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        await threaded(program, Calls())
