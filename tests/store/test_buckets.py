"""Token buckets that processes share."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from store import Bucket, Draw, StateSettings, Store, draw

SLOW = 1e-9  # a second: nothing comes back while a test runs


def wanted(amount: float, capacity: float = 10, per_second: float = SLOW, bucket: str = "requests") -> Draw:
    return Draw(bucket, amount, capacity, per_second)


def test_a_bucket_fills_with_time_and_no_further_than_it_holds() -> None:
    half = Bucket(5, at=100)
    assert half.filled(wanted(0, per_second=2), 101) == Bucket(7, 101)
    assert half.filled(wanted(0, per_second=2), 999) == Bucket(10, 999)
    assert half.filled(wanted(0, capacity=3, per_second=2), 100) == Bucket(3, 100)


def test_a_clock_that_is_behind_changes_nothing() -> None:
    drawn = draw({"requests": Bucket(5, at=100)}, [wanted(1, per_second=2)], now=40)
    assert drawn.buckets == {"requests": Bucket(4, 100)}


def test_draws_are_all_done_or_none_is() -> None:
    buckets = {"requests": Bucket(3, at=0), "tokens": Bucket(3, at=0)}
    draws = [wanted(1, per_second=1), wanted(7, per_second=1, bucket="tokens")]
    drawn = draw(buckets, draws, now=1)
    assert (drawn.short, drawn.wait) == ("tokens", 3)
    assert drawn.buckets == {"requests": Bucket(4, 1), "tokens": Bucket(4, 1)}
    drawn = draw(buckets, draws, now=4)
    assert (drawn.short, drawn.wait) == (None, 0)
    assert drawn.buckets == {"requests": Bucket(6, 4), "tokens": Bucket(0, 4)}


def test_a_debt_is_taken_on_only_when_it_is_allowed() -> None:
    assert draw({}, [wanted(12)], now=0).short == "requests"
    assert draw({}, [wanted(12)], now=0, debt=True).buckets["requests"].level == -2


def test_what_is_given_back_does_not_overflow() -> None:
    assert draw({"requests": Bucket(8, at=0)}, [wanted(-5)], now=0, debt=True).buckets["requests"].level == 10


async def test_a_bucket_is_kept_for_each_tenant(settings: StateSettings) -> None:
    async with await Store.open(settings) as store:
        assert (await store.draw("ada", [wanted(7)])).short is None
    async with await Store.open(settings) as store:
        assert (await store.draw("ada", [wanted(4)])).short == "requests"
        assert (await store.draw("ada", [wanted(3)])).short is None
        assert (await store.draw("bob", [wanted(4)])).short is None
        assert (await store.draw("ada", [wanted(5)], debt=True)).buckets["requests"].level == pytest.approx(-5)


async def test_what_is_drawn_at_the_same_time_is_drawn_once(settings: StateSettings) -> None:
    settings = settings.model_copy(update={"busy_timeout_seconds": 10.0})
    async with await Store.open(settings) as one, await Store.open(settings) as other:
        both = [wanted(1, capacity=25), wanted(2, capacity=100, bucket="tokens")]
        drawn = await asyncio.gather(*(store.draw("ada", both) for store in (one, other) for _ in range(40)))
        assert [each.short for each in drawn].count(None) == 25
        assert (await one.draw("ada", [wanted(0, 100, bucket="tokens")])).buckets["tokens"].level == pytest.approx(50)


DRAWING = """
import asyncio, sys
from store import Draw, StateSettings, Store

async def main():
    async with await Store.open(StateSettings(url=sys.argv[1], busy_timeout_seconds=30)) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        drawn = [await store.draw("ada", [Draw("requests", 1, 50, 1e-9)]) for _ in range(40)]
        print(sum(each.short is None for each in drawn))

asyncio.run(main())
"""


@pytest.mark.slow
def test_two_processes_share_a_bucket(settings: StateSettings) -> None:
    url = settings.url.get_secret_value() if settings.url is not None else f"sqlite:///{settings.file}"
    processes = [
        subprocess.Popen([sys.executable, "-c", DRAWING, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(taken) == 50
    assert all(taken)
