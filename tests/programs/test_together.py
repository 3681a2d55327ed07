"""What runs at once ends at once."""

import asyncio

import pytest

from programs.together import together


async def test_results_come_in_order() -> None:
    async def late(value: int) -> int:
        for _ in range(3 - value):
            await asyncio.sleep(0)
        return value

    assert await together(late(n) for n in range(3)) == [0, 1, 2]
    assert await together(late(n) for n in range(0)) == []


@pytest.mark.parametrize("cancelled", [False, True])
async def test_none_outlives_the_failure_of_another_nor_of_who_waits(cancelled: bool) -> None:
    stopped = []
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            stopped.append(1)

    async def fail() -> None:
        await begun.wait()
        if not cancelled:
            raise ValueError("no")
        await asyncio.Event().wait()

    task = asyncio.create_task(together([wait(), fail()]))
    await begun.wait()
    if cancelled:
        task.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else ValueError):
        await task
    assert stopped == [1]
