"""What is counted, without a server, and who may read it."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from programs import Usage
from programs.errors import Overloaded
from programs.events import CodeRan, EnvironmentOpened, RunDone, ToolRan
from programs.transcript import ToolCall
from server import errors
from server.admission import Admission
from server.lag import Lag
from server.metrics import Metrics, router
from server.rates import MemoryBuckets, Rates
from server.settings import (
    ApiKey,
    AuthSettings,
    LimitSettings,
    ObservabilitySettings,
    RateLimitSettings,
    ServerSettings,
)

KEY = "key-of-prometheus-0123456789"


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def ran(name: str, *, ok: bool = True) -> ToolRan:
    return ToolRan("s", 1, ToolCall(id="call_1", name=name, arguments="{}"), "", ok, {}, 0.0, 0.5)


def test_a_tool_that_there_is_not_is_counted_as_other() -> None:
    metrics = Metrics(tools={"read"})
    run = metrics.run()
    for event in (ran("read"), ran("read", ok=False), ran("made_up_by_a_model"), ran("and_another")):
        run.happened(event)
    found = counted(metrics)
    assert found["rants_tool_runs_total", "ok", "read"] == 1
    assert found["rants_tool_runs_total", "failed", "read"] == 1
    assert found["rants_tool_runs_total", "ok", "other"] == 2
    assert found["rants_tool_run_duration_seconds_sum", "read"] == 1.0


@pytest.mark.parametrize(
    ("outcome", "reason", "early"),
    [
        ("incomplete", "budget_tokens", {"budget_tokens"}),
        ("completed", "no_progress", {"no_progress"}),  # the best answer so far
        ("incomplete", "max_output_tokens", {"max_output_tokens"}),
        ("completed", None, set()),
        ("failed", "backend_timeout", set()),
        ("cancelled", None, set()),
    ],
)
def test_a_run_ends_in_one_way_and_early_for_one_reason(outcome: Any, reason: str | None, early: set[str]) -> None:
    metrics = Metrics()
    run = metrics.run()
    assert counted(metrics)["rants_runs_in_flight",] == 1
    run.over(RunDone(outcome, "", Usage(), reason))
    found = counted(metrics)
    assert found["rants_runs_in_flight",] == 0
    assert found["rants_runs_total", outcome] == 1
    assert {labels[0] for name, *labels in found if name == "rants_early_ends_total"} == early


def test_environments_that_start_fail_and_are_lost_are_counted() -> None:
    metrics = Metrics()
    lost = CodeRan("s", 1, "", None, True, 0.0, 0.0)
    for event in (EnvironmentOpened(True, 0.1), EnvironmentOpened(False, 0.1), lost):
        metrics.happened(event)
    found = counted(metrics)
    assert found["rants_environment_starts_total", "ok"] == found["rants_environment_starts_total", "failed"] == 1
    assert found["rants_environment_losses_total",] == 1


async def test_the_queue_is_counted_and_who_is_sent_away() -> None:
    metrics, clock = Metrics(), iter(range(100))
    limits = LimitSettings(max_runs=1, max_queued=1)
    rates = Rates(RateLimitSettings(), MemoryBuckets())
    admission = Admission(limits, rates, Lag(), metrics, lambda: float(next(clock)))
    first, second = admission.enter("ada"), admission.enter("ada")
    with pytest.raises(Overloaded):
        admission.enter("ada")
    found = counted(metrics)
    assert found["rants_queue_length",] == 1
    assert found["rants_rejections_total", "queue"] == 1
    assert found["rants_queue_wait_seconds_count",] == 0
    first.leave()
    await second.turn()
    found = counted(metrics)
    assert found["rants_queue_length",] == 0
    assert found["rants_queue_wait_seconds_count",] == 1
    assert found["rants_queue_wait_seconds_sum",] > 0


def test_two_in_one_process_count_apart() -> None:
    Metrics().run()
    assert counted(Metrics())["rants_runs_in_flight",] == 0


async def read(
    observability: ObservabilitySettings, *, auth: bool, host: str, peer: str, keys: Iterable[str] = ()
) -> list[int]:
    """The statuses of `/metrics`, asked from `peer` of a server on `host`, without a key and with each of these."""
    app = FastAPI()
    app.include_router(router)
    errors.install(app, lambda _, answer: answer)
    entry = ApiKey.model_validate({"key": "key-of-ada-0123456789abcdef"})
    app.state.metrics = Metrics()
    app.state.settings = SimpleNamespace(
        observability=observability,
        auth=AuthSettings(enabled=auth, api_keys=(entry,)),
        server=ServerSettings(host=host),
    )
    transport = ASGITransport(app, client=(peer, 1))
    async with AsyncClient(transport=transport, base_url="http://server") as client:
        headers = [{}, *({"Authorization": f"Bearer {key}"} for key in keys)]
        return [(await client.get("/metrics", headers=each)).status_code for each in headers]


@pytest.mark.parametrize(
    ("auth", "host", "peer", "status"),
    [
        (False, "127.0.0.1", "127.0.0.1", 200),
        (False, "0.0.0.0", "10.0.0.7", 200),  # who may ask anything may read this
        (True, "127.0.0.1", "127.0.0.1", 200),
        (True, "0.0.0.0", "10.0.0.7", 401),
        (True, "0.0.0.0", "127.0.0.1", 401),  # it may be a proxy of this machine
        (True, "127.0.0.1", "10.0.0.7", 401),
    ],
)
async def test_without_a_key_of_their_own_metrics_are_for_this_machine_where_keys_are_asked_for(
    auth: bool, host: str, peer: str, status: int
) -> None:
    tenants = ["key-of-ada-0123456789abcdef"]
    assert await read(ObservabilitySettings(), auth=auth, host=host, peer=peer, keys=tenants) == [status] * 2


@pytest.mark.parametrize("auth", [True, False])
async def test_a_key_of_their_own_opens_them_from_anywhere_and_nothing_else_does(auth: bool) -> None:
    settings = ObservabilitySettings.model_validate({"metrics_key": KEY})
    keys = ["key-of-ada-0123456789abcdef", KEY]
    for peer in ("127.0.0.1", "10.0.0.7"):
        found = await read(settings, auth=auth, host="0.0.0.0", peer=peer, keys=keys)
        assert found == [401, 401, 200]


async def test_they_can_be_turned_off() -> None:
    settings = ObservabilitySettings(metrics=False)
    assert await read(settings, auth=False, host="127.0.0.1", peer="127.0.0.1") == [404]
