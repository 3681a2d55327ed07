"""Who may go on, who waits for how long, and who is refused."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from programs.errors import Overloaded
from server.admission import Admission, Place
from server.lag import Lag
from server.metrics import Metrics
from server.rates import MemoryBuckets, Rates
from server.settings import LimitSettings, RateLimitSettings
from tests.server.serving import Clock


def admission(clock: Clock | None = None, lag: Lag | None = None, limits: object = None, **rates: object) -> Admission:
    settings = RateLimitSettings.model_validate({"enabled": True, **rates})
    rated = Rates(settings, MemoryBuckets())
    return Admission(LimitSettings.model_validate(limits or {}), rated, lag or Lag(), Metrics(), clock or Clock())


async def served(places: list[Place], doors: Admission) -> list[str]:
    """Whose turn it was, in order, when each run ends as soon as it has begun."""
    order: list[str] = []

    async def run(place: Place) -> None:
        await place.turn()
        order.append(place.tenant)
        place.leave()

    await asyncio.gather(*map(run, places))
    assert (doors.running, doors.queued) == (0, 0)
    return order


async def test_a_modest_tenant_waits_for_one_turn_of_a_greedy_one() -> None:
    doors = admission(limits={"max_runs": 1})
    first = doors.enter("greedy")
    waiting = [doors.enter("greedy") for _ in range(300)]
    modest = [doors.enter("modest") for _ in range(3)]
    assert doors.queued == 303
    first.leave()
    order = await served([*waiting, *modest], doors)
    assert order[:6] == ["greedy", "modest"] * 3
    assert Counter(order) == {"greedy": 300, "modest": 3}


async def test_every_tenant_has_its_turn_whoever_came_first() -> None:
    doors = admission(limits={"max_runs": 2})
    here = [doors.enter("x"), doors.enter("x")]
    waiting = [doors.enter(tenant) for tenant in "aaaabbc"]
    for place in here:
        place.leave()
    assert await served(waiting, doors) == list("abcabaa")


async def test_runs_of_one_tenant_are_served_in_the_order_in_which_they_came() -> None:
    doors = admission(limits={"max_runs": 1})
    here = doors.enter("a")
    waiting = [doors.enter("a") for _ in range(20)]
    here.leave()
    for place in waiting:
        assert [other.since is not None for other in waiting].count(True) == 1
        assert place.since is not None
        place.leave()
        waiting = waiting[1:]
    assert doors.running == 0


async def test_a_tenant_with_all_its_runs_going_on_does_not_hold_up_the_others() -> None:
    doors = admission(limits={"max_runs": 10}, concurrent=2, tenants={"vip": {"concurrent": 3}})
    a, b, vip = ([doors.enter(tenant) for _ in range(4)] for tenant in ("a", "b", "vip"))
    admitted = [[place.since is not None for place in places].count(True) for places in (a, b, vip)]
    assert admitted == [2, 2, 3]
    a[0].leave()
    assert a[2].since is not None
    assert a[3].since is None
    assert doors.queued == 4
    assert doors.running == 7


async def test_while_tenants_are_not_limited_only_the_process_is() -> None:
    doors = admission(limits={"max_runs": 3}, enabled=False, concurrent=1)
    assert [doors.enter("a").since is not None for _ in range(4)] == [True, True, True, False]


async def test_a_full_queue_refuses() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 2})
    for _ in range(3):
        doors.enter("a")
    for refused in (lambda: doors.enter("a"), lambda: doors.shed("a")):
        with pytest.raises(Overloaded) as failed:
            refused()
        assert failed.value.retry_after >= 1
    assert doors.rejected == {"queue": 2}
    assert doors.queued == 2


async def test_without_a_queue_there_is_room_or_there_is_not() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 0})
    place = doors.enter("a")
    for patient in (False, True):
        with pytest.raises(Overloaded):
            doors.enter("b", patient=patient)
    place.leave()
    assert doors.enter("b", patient=True).since is not None


async def test_who_fills_the_queue_gives_way_to_who_has_less_in_it() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 4})
    doors.enter("greedy")
    waiting = [doors.enter("greedy") for _ in range(4)]
    doors.shed("modest")
    modest = [doors.enter("modest") for _ in range(2)]
    for newest in waiting[2:]:
        with pytest.raises(Overloaded):
            await newest.turn()
        newest.leave()
    assert doors.queued == 4
    with pytest.raises(Overloaded):
        doors.enter("modest")  # now both have as much
    assert all(place.since is None for place in (*waiting[:2], *modest))
    assert doors.rejected == {"displaced": 2, "queue": 1}


async def test_who_gives_way_is_a_client_also_where_another_has_more_in_the_background() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 6})
    doors.enter("greedy")
    for _ in range(3):
        doors.enter("greedy", patient=True)
    clients = [doors.enter("busy") for _ in range(3)]
    doors.enter("modest")
    with pytest.raises(Overloaded):
        await clients[-1].turn()
    assert doors.rejected == {"displaced": 1}


async def test_background_runs_wait_as_long_as_it_takes_and_are_not_displaced() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 4, "queue_seconds": 0.01})
    here = doors.enter("greedy")
    patient = [doors.enter("greedy", patient=True) for _ in range(2)]
    with pytest.raises(Overloaded):
        doors.enter("greedy", patient=True)  # it leaves as much to others
    doors.enter("modest", patient=True)
    turn = asyncio.create_task(patient[0].turn())
    impatient = doors.enter("greedy")
    with pytest.raises(Overloaded):
        await impatient.turn()
    assert not turn.done()
    here.leave()
    await turn
    assert doors.rejected == {"queue": 1, "late": 1}


async def test_what_was_promised_before_a_restart_is_not_refused() -> None:
    doors = admission(limits={"max_runs": 1, "max_queued": 1})
    for _ in range(5):
        doors.enter("a", patient=True, always=True)
    assert (doors.running, doors.queued) == (1, 4)


async def test_who_has_waited_for_too_long_is_refused_and_leaves_the_queue() -> None:
    doors = admission(limits={"max_runs": 1, "queue_seconds": 0.01})
    here = doors.enter("a")
    late = doors.enter("b")
    with pytest.raises(Overloaded):
        await late.turn()
    assert doors.queued == 0
    late.leave()
    here.leave()
    assert (doors.running, doors.queued) == (0, 0)


async def test_who_is_cancelled_in_the_queue_leaves_it() -> None:
    doors = admission(limits={"max_runs": 1})
    here, gone, following = (doors.enter("a") for _ in range(3))
    waiting = asyncio.create_task(gone.turn())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert doors.queued == 1
    here.leave()
    await following.turn()


async def test_a_turn_that_comes_together_with_the_cancellation_is_passed_on() -> None:
    doors = admission(limits={"max_runs": 1})
    here, gone, following = (doors.enter("a") for _ in range(3))
    waiting = asyncio.create_task(gone.turn())
    await asyncio.sleep(0)
    here.leave()
    waiting.cancel()
    await asyncio.wait([waiting])
    gone.leave()
    await following.turn()
    following.leave()
    assert (doors.running, doors.queued) == (0, 0)


async def test_who_would_wait_for_too_long_is_refused_at_once() -> None:
    clock = Clock()
    doors = admission(clock, limits={"max_runs": 2, "queue_seconds": 30})
    usual = doors.enter("a")
    clock.now += 20
    usual.leave()
    for _ in range(4):
        doors.enter("a")
    assert doors.expected_wait("a") == 30
    assert doors.expected_wait("b") == 20, "it is behind one run of each other tenant"
    doors.shed("a")
    doors.enter("a")
    with pytest.raises(Overloaded) as failed:
        doors.shed("a")
    assert failed.value.retry_after == 40
    doors.shed("b")
    assert doors.rejected == {"wait": 1}


async def test_a_tenant_waits_for_its_own_runs_where_it_may_have_few() -> None:
    clock = Clock()
    doors = admission(clock, limits={"max_runs": 100, "queue_seconds": 30}, concurrent=1)
    usual = doors.enter("a")
    clock.now += 20
    usual.leave()
    doors.enter("a")
    assert doors.expected_wait("a") == 20
    doors.enter("a")
    with pytest.raises(Overloaded):
        doors.shed("a")
    doors.shed("b")


async def test_an_event_loop_that_is_late_again_and_again_is_overloaded() -> None:
    lag = Lag()
    doors = admission(lag=lag, limits={"max_lag_seconds": 1})
    lag.saw(5)
    doors.shed("a")
    lag.saw(3)
    with pytest.raises(Overloaded) as failed:
        doors.shed("a")
    assert failed.value.retry_after == 3
    lag.saw(0)
    doors.shed("a")
    assert doors.rejected == {"lag": 1}


async def test_lag_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: asyncio.Queue[float] = asyncio.Queue()
    async with Lag() as lag:
        monkeypatch.setattr(lag, "saw", seen.put_nowait)
        async with asyncio.timeout(10):
            assert [await seen.get() >= 0 for _ in range(2)] == [True, True]


async def test_other_settings_are_taken_up_and_whoever_may_go_on_then_does() -> None:
    doors = admission(limits={"max_runs": 1})
    places = [doors.enter("a") for _ in range(4)]
    doors.configure(LimitSettings(max_runs=10), RateLimitSettings(enabled=True, concurrent=3))
    assert [place.since is not None for place in places] == [True, True, True, False]
    assert (doors.running, doors.queued) == (3, 1)


async def test_nobody_keeps_a_place_however_things_end() -> None:
    dice = random.Random(7)
    doors = admission(limits={"max_runs": 5, "max_queued": 60, "queue_seconds": 0.02}, concurrent=3)
    ended = Counter[str]()

    async def run(tenant: str, ending: str) -> None:
        try:
            place = doors.enter(tenant, patient=ending == "patient")
        except Overloaded:
            ended["refused"] += 1
            return
        try:
            await place.turn()
            await asyncio.sleep(dice.random() / 200)
            if ending == "error":
                raise ValueError
            ended[ending] += 1
        except (ValueError, Overloaded) as error:
            ended[type(error).__name__] += 1
        except asyncio.CancelledError:
            ended["cancelled"] += 1
        finally:
            place.leave()

    async def soon(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(dice.random() / 100)
        task.cancel()

    tasks, cancelling = [], []
    for _ in range(500):
        ending = dice.choice(["well", "error", "cancel", "patient"])
        tasks.append(asyncio.create_task(run(dice.choice("aaaab"), ending)))
        if ending == "cancel":
            cancelling.append(asyncio.create_task(soon(tasks[-1])))
        await asyncio.sleep(dice.random() / 1000)
    await asyncio.gather(*tasks, *cancelling)
    assert (doors.running, doors.queued) == (0, 0)
    assert ended.total() == 500
    assert all(doors.enter("c").since is not None for _ in range(3)), "there is room again"
