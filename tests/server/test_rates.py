"""How much a tenant may ask for, and how it is told."""

from __future__ import annotations

import pytest

from programs.errors import RateLimited
from server.rates import Charge, MemoryBuckets, Rates, duration
from server.settings import RateLimitSettings
from tests.server.serving import Clock


def rates(clock: Clock, **limits: object) -> Rates:
    return Rates(RateLimitSettings.model_validate({"enabled": True, **limits}), MemoryBuckets(clock))


def refusal(charge: Charge) -> RateLimited:
    assert charge.refusal is not None
    return charge.refusal


async def left(rated: Rates, tenant: str = "a") -> int:
    """How many tokens are left. To ask costs a request."""
    return int((await rated.charge(tenant, 0)).headers["x-ratelimit-remaining-tokens"])


async def test_the_headers_say_how_much_is_left_and_when_all_of_it_is_back() -> None:
    rated = rates(Clock(), requests_per_minute=6, burst=3, tokens_per_minute=6000)
    charge = await rated.charge("a", 1500)
    assert charge.headers == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "10s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "4500",
        "x-ratelimit-reset-tokens": "15s",
    }


async def test_where_tokens_are_not_limited_nothing_is_said_of_them() -> None:
    charge = await rates(Clock(), burst=3).charge("a", 10**9)
    assert charge.refusal is None
    assert {name.rpartition("-")[2] for name in charge.headers} == {"requests"}


async def test_where_nothing_is_limited_nothing_is_said() -> None:
    rated = rates(Clock(), enabled=False, burst=1)
    assert [(await rated.charge("a", 1)).headers for _ in range(3)] == [{}, {}, {}]
    await rated.settle(Charge("a"), 10**9)


async def test_an_empty_bucket_of_requests_fills_with_time() -> None:
    clock = Clock()
    rated = rates(clock, requests_per_minute=6, burst=2)
    for _ in range(2):
        assert (await rated.charge("a", 0)).refusal is None
    refused = await rated.charge("a", 0)
    assert refusal(refused).what == "requests"
    assert refusal(refused).retry_after == pytest.approx(10)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 4
    assert refusal(await rated.charge("a", 0)).retry_after == pytest.approx(6)
    clock.now += 6
    assert (await rated.charge("a", 0)).refusal is None
    assert refusal(await rated.charge("a", 0)).retry_after == pytest.approx(10)
    assert (await rated.charge("b", 0)).refusal is None


async def test_a_request_that_lacks_tokens_costs_no_request() -> None:
    clock = Clock()
    rated = rates(clock, burst=5, tokens_per_minute=60)
    await rated.charge("a", 50)
    refused = await rated.charge("a", 20)
    assert refusal(refused).what == "tokens"
    assert refusal(refused).retry_after == pytest.approx(10)
    assert refused.headers["x-ratelimit-remaining-requests"] == "4"


async def test_a_run_is_charged_what_it_has_used() -> None:
    rated = rates(Clock(), tokens_per_minute=1000)
    charge = await rated.charge("a", 400)
    assert await left(rated) == 600
    await rated.settle(charge, 150)
    assert await left(rated) == 850
    await rated.settle(charge, 150)
    assert await left(rated) == 850, "and once"


async def test_a_run_that_used_more_than_there_was_leaves_a_debt() -> None:
    clock = Clock()
    rated = rates(clock, tokens_per_minute=60)
    await rated.settle(await rated.charge("a", 10), 100)
    refused = await rated.charge("a", 1)
    assert refusal(refused).retry_after == pytest.approx(41)
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
    assert refused.headers["x-ratelimit-reset-tokens"] == "1m40s"
    clock.now += 41
    assert (await rated.charge("a", 1)).refusal is None


async def test_a_request_larger_than_the_bucket_is_served_when_that_is_full() -> None:
    clock = Clock()
    rated = rates(clock, tokens_per_minute=60)
    charge = await rated.charge("a", 10**6)
    assert charge.tokens == 60
    assert refusal(await rated.charge("a", 10**6)).retry_after == pytest.approx(60)
    await rated.settle(charge, 30)
    assert refusal(await rated.charge("a", 10**6)).retry_after == pytest.approx(30)


async def test_a_tenant_may_have_limits_of_its_own() -> None:
    rated = rates(Clock(), burst=2, tokens_per_minute=10, tenants={"vip": {"burst": 5, "tokens_per_minute": None}})
    assert (await rated.charge("a", 0)).headers["x-ratelimit-limit-requests"] == "2"
    vip = await rated.charge("vip", 10**6)
    assert vip.headers["x-ratelimit-limit-requests"] == "5"
    assert "x-ratelimit-limit-tokens" not in vip.headers


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0s"),
        (0.0001, "1ms"),
        (0.12, "120ms"),
        (1, "1s"),
        (1.2345, "1.235s"),
        (59.9996, "1m0s"),
        (360, "6m0s"),
        (86.4, "1m26.4s"),
        (3600, "1h0m0s"),
        (7325, "2h2m5s"),
    ],
)
def test_a_length_of_time_reads_as_openai_writes_it(seconds: float, told: str) -> None:
    assert duration(seconds) == told
