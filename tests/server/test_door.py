"""What stands before every run, as clients meet it: rates and their headers, the queue, and refusing early."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from server.admission import Place
from server.settings import RateLimitSettings
from tests.server.serving import Serving, eventually, serving
from tests.support import MODEL

BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]},
    "responses": {"model": MODEL, "input": "Hello?"},
}
HEADERS = {f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")}
LIMITS = RateLimitSettings(enabled=True, requests_per_minute=60, burst=10, tokens_per_minute=6000)

type Serve = Callable[..., AbstractAsyncContextManager[Serving]]


@pytest.fixture
def serve(tmp_path: Path, backend: ScriptedBackend, no_variables: None, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves the scripted backend with the sections that a test gives."""
    monkeypatch.chdir(tmp_path)
    return lambda **sections: serving(tmp_path, backend, **sections)


@pytest.fixture
async def hold(backend: ScriptedBackend) -> AsyncIterator[threading.Event]:
    """The model says one word, and the other only when this is set."""
    held = threading.Event()
    backend.script = lambda body: Reply(["One.", "Two."], hold=held)
    yield held
    held.set()
    await eventually(lambda: backend.open == 0)


def limits(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit-")}


def plain(served: Serving) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"{served.address}/v1", timeout=60)


async def test_every_answer_of_a_route_that_starts_runs_tells_the_rates(serve: Serve, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Hello."], usage=usage(30, 20)))
    async with serve(auth={"enabled": False}) as served, plain(served) as http:
        for path, body in BODIES.items():
            served.stop_the_clock(LIMITS)
            estimate = len(http.build_request("POST", path, json=body).content) // 4
            whole = await http.post(path, json=body)
            assert whole.status_code == 200
            assert limits(whole) == {
                "x-ratelimit-limit-requests": "10",
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "6000",
                "x-ratelimit-remaining-tokens": str(6000 - estimate),
                "x-ratelimit-reset-tokens": f"{estimate * 10}ms",
            }
            streamed = await http.post(path, json={**body, "stream": True})
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert limits(streamed)["x-ratelimit-remaining-requests"] == "8"
            wrong = [await http.post(path, json=wrong) for wrong in ({**body, "model": 1}, {**body, "model": "other"})]
            broken = await http.post(path, content=b"{", headers={"content-type": "application/json"})
            assert [answer.status_code for answer in (*wrong, broken)] == [400, 404, 400]
            assert [limits(answer)["x-ratelimit-remaining-requests"] for answer in (*wrong, broken)] == ["7", "6", "5"]
            left = int(limits(await http.post(path, json=body))["x-ratelimit-remaining-tokens"])
            assert left == 6000 - 2 * (30 + 20) - estimate, "runs cost what they used, refused requests no tokens"
        models = await http.get("models")
        assert limits(models) == {}


async def test_without_limits_no_answer_tells_any(serve: Serve) -> None:
    async with serve() as served, plain(served) as http:
        assert limits(await http.post("responses", json=BODIES["responses"])) == {}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (LIMITS.model_copy(update={"burst": 1}), "requests"),
        (LIMITS.model_copy(update={"tokens_per_minute": 30}), "tokens"),
    ],
    ids=["requests", "tokens"],
)
async def test_who_has_spent_its_share_is_told_of_what_and_when_to_come_back(
    serve: Serve, backend: ScriptedBackend, settings: RateLimitSettings, kind: str
) -> None:
    backend.script = in_turn(Reply(["Hello."], usage=usage(20, 10)))
    async with serve() as served, served.sdk() as client, plain(served) as http:
        clock = served.stop_the_clock(settings)
        await client.responses.create(model=MODEL, input="Hello?")
        with pytest.raises(openai.RateLimitError) as failed:
            await client.responses.create(model=MODEL, input="Hello?")
        assert (failed.value.type, failed.value.code) == (kind, "rate_limit_exceeded")
        headers = failed.value.response.headers
        assert headers[f"x-ratelimit-remaining-{kind}"] == "0"
        wait = int(headers["retry-after-ms"]) / 1000
        assert wait <= int(headers["retry-after"]) < wait + 1
        assert served.admission.rejected == {kind: 1}
        assert len(backend.calls) == 1
        clock.now += wait
        assert (await client.responses.create(model=MODEL, input="Hello?")).status == "completed"
        assert (await http.get("models")).status_code == 200


async def test_the_sdk_comes_back_when_it_is_told_to(serve: Serve, backend: ScriptedBackend) -> None:
    rates = {"enabled": True, "requests_per_minute": 300, "burst": 1}
    async with serve(rate_limits=rates) as served, served.sdk(retries=3) as client:
        for _ in range(2):
            assert (await client.responses.create(**BODIES["responses"])).output_text == "Hello there."
        stream = await client.chat.completions.create(**BODIES["chat/completions"], stream=True)
        assert [chunk async for chunk in stream]
        assert served.admission.rejected["requests"] >= 2
        assert len(backend.calls) == 3


async def test_a_run_that_waits_begins_when_another_ends(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event
) -> None:
    async with serve(limits={"max_runs": 1}) as served, served.sdk() as client:
        asked = [
            asyncio.create_task(client.chat.completions.create(**BODIES["chat/completions"])),
            asyncio.create_task(client.responses.create(**BODIES["responses"])),
        ]
        await eventually(lambda: (served.admission.running, served.admission.queued, backend.open) == (1, 1, 1))
        assert (await client.models.list()).data, "what starts no run does not wait"
        hold.set()
        await asyncio.gather(*asked)
        assert len(backend.calls) == 2
        assert (served.admission.running, served.admission.queued) == (0, 0)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_who_waits_for_too_long_gets_a_status_and_leaves_no_trace(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event, path: str, stream: bool
) -> None:
    patience = {"max_runs": 1, "queue_seconds": 0.05}
    # A stream that has begun says that it is alive; one that waits has no status yet.
    sections = {"limits": patience, "server": {"keep_alive_seconds": 0.01}}
    async with serve(**sections) as served, served.sdk() as client, plain(served) as http:
        first = await client.responses.create(**BODIES["responses"], stream=True)
        await eventually(lambda: backend.open == 1)
        late = await http.post(path, json={**BODIES[path], "stream": stream})
        assert late.status_code == 503
        error = late.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "overloaded")
        assert int(late.headers["retry-after"]) >= 1
        assert served.admission.rejected == {"late": 1}
        hold.set()
        assert [event async for event in first][-1].type == "response.completed"
        store = served.app.state.store
        assert len(await store._readers.do(lambda db: db.execute_sql("SELECT 1 FROM usage").fetchall())) == 1


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("stream", [False, True])
async def test_who_hangs_up_in_the_queue_leaves_it(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event, path: str, stream: bool
) -> None:
    async with serve(limits={"max_runs": 1}) as served, served.sdk() as client, plain(served) as http:
        first = asyncio.create_task(client.responses.create(**BODIES["responses"]))
        await eventually(lambda: backend.open == 1)
        waiting = asyncio.create_task(http.post(path, json={**BODIES[path], "stream": stream}))
        await eventually(lambda: served.admission.queued == 1)
        waiting.cancel()
        await eventually(lambda: served.admission.queued == 0)
        hold.set()
        await first
        assert len(backend.calls) == 1
        assert served.admission.running == 0


async def test_a_background_run_waits_as_queued_and_then_goes_on(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event
) -> None:
    async with serve(limits={"max_runs": 1, "queue_seconds": 0.01}) as served, served.sdk() as client:

        async def status(response_id: str) -> str | None:
            return (await client.responses.retrieve(response_id)).status

        first, second, third = [await client.responses.create(**BODIES["responses"], background=True) for _ in range(3)]
        assert {first.status, second.status, third.status} == {"queued"}
        await eventually(lambda: backend.open == 1)
        assert [await status(each.id) for each in (first, second, third)] == ["in_progress", "queued", "queued"]
        cancelled = await client.responses.cancel(second.id)
        assert cancelled.status == "cancelled"
        assert served.admission.queued == 1
        hold.set()
        await eventually(lambda: served.admission.running == served.admission.queued == 0)
        assert [await status(each.id) for each in (first, second, third)] == ["completed", "cancelled", "completed"]
        assert len(backend.calls) == 2


async def test_the_stream_of_a_background_run_says_when_it_begins(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event
) -> None:
    async with serve(limits={"max_runs": 1}) as served, served.sdk() as client:
        await client.responses.create(**BODIES["responses"], background=True)
        stream = await client.responses.create(**BODIES["responses"], background=True, stream=True)
        events = [await anext(stream), await anext(stream)]
        assert [event.type for event in events] == ["response.created", "response.queued"]
        assert served.admission.queued == 1
        hold.set()
        events += [event async for event in stream]
        assert events[2].type == "response.in_progress"
        assert events[-1].type == "response.completed"
        again = await client.responses.retrieve(events[0].response.id, stream=True)
        assert [(event.type, event.sequence_number) async for event in again] == [
            (event.type, event.sequence_number) for event in events
        ]


async def test_background_runs_are_not_taken_on_without_bound(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event
) -> None:
    async with serve(limits={"max_runs": 1, "max_queued": 4}) as served, served.sdk() as client:
        for _ in range(3):
            await client.responses.create(**BODIES["responses"], background=True)
        with pytest.raises(openai.InternalServerError) as failed:
            await client.responses.create(**BODIES["responses"], background=True)
        assert (failed.value.status_code, failed.value.code) == (503, "overloaded")
        hold.set()
        await eventually(lambda: served.admission.running == 0)


async def test_background_runs_that_waited_at_the_end_go_on_after_the_next_start(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event
) -> None:
    async with serve(limits={"max_runs": 1}) as served, served.sdk() as client:
        asked = [await client.responses.create(**BODIES["responses"], background=True) for _ in range(3)]
        await eventually(lambda: backend.open == 1)
    hold.set()
    async with serve(limits={"max_runs": 1, "max_queued": 0}) as served, served.sdk() as client:
        await eventually(lambda: served.admission.running == served.admission.queued == 0)
        assert [(await client.responses.retrieve(each.id)).status for each in asked] == ["completed"] * 3


async def test_an_overloaded_server_refuses_before_it_reads(
    serve: Serve, backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(limits={"max_request_bytes": 1000}) as served, plain(served) as http:
        served.stop_the_clock(LIMITS)
        monkeypatch.setattr(served.admission._lag, "seconds", 60.0)
        monkeypatch.setattr(served.admission._lag, "saw", lambda late: None)
        for path, body in BODIES.items():
            for content in (http.build_request("POST", path, json=body).content, b"x" * 5000):
                answer = await http.post(path, content=content, headers={"content-type": "application/json"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
                assert limits(answer) == {}
        for path in ("/health", "/health/live"):
            assert (await http.get(f"{served.address}{path}")).status_code == 200
        assert backend.calls == []
        assert served.admission.rejected == {"lag": 4}


async def test_a_modest_tenant_is_served_while_a_greedy_one_has_many_waiting(
    serve: Serve, backend: ScriptedBackend, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: f"{name}-9b1c7e5d3f2a80461f6d" for name in ("greedy", "modest")}
    auth = {"enabled": True, "api_keys": [{"key": key, "tenant_id": name} for name, key in keys.items()]}
    async with serve(auth=auth, limits={"max_runs": 2}) as served:
        order: list[str] = []
        admit = Place.admit

        def admitted(place: Place, now: float) -> None:
            order.append(place.tenant)
            admit(place, now)

        monkeypatch.setattr(Place, "admit", admitted)

        async def ask(client: AsyncOpenAI) -> None:
            await client.chat.completions.create(**BODIES["chat/completions"], store=False)

        async with served.sdk(keys["greedy"]) as greedy, served.sdk(keys["modest"]) as modest:
            tasks = [asyncio.create_task(ask(greedy)) for _ in range(100)]
            await eventually(lambda: served.admission.queued == 98, within=60)
            tasks += [asyncio.create_task(ask(modest)) for _ in range(3)]
            await eventually(lambda: served.admission.queued == 101)
            hold.set()
            await asyncio.gather(*tasks)
        assert order[2:8] == ["greedy", "modest"] * 3
        assert Counter(order) == {"greedy": 100, "modest": 3}


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.slow)])
async def test_no_place_is_lost_however_requests_end(serve: Serve, backend: ScriptedBackend, rounds: int) -> None:
    dice = random.Random(11)
    replies = [
        Reply(["Hello", " there."]),
        Reply(["Hello"], fault="cut"),
        Reply(status=400),
        Reply(["Hello"], delay=30),
        Reply(fault="hang"),
    ]
    backend.script = lambda body: dice.choices(replies, (8, 2, 2, 1, 1))[0]
    sections = {
        "limits": {"max_runs": 20, "max_queued": 60, "queue_seconds": 0.2},
        "resilience": {"request_timeout_seconds": 0.3, "max_retries": 0},
        "rate_limits": {"enabled": True, "burst": 10**6, "tokens_per_minute": 10**9},
    }
    seen = Counter[object]()
    async with serve(**sections) as served, plain(served) as http:
        clock = served.stop_the_clock(RateLimitSettings.model_validate(sections["rate_limits"]))

        async def ask() -> None:
            path = dice.choice(list(BODIES))
            body = {**BODIES[path], "stream": dice.random() < 0.5}
            if path == "responses" and dice.random() < 0.2:
                body["background"] = True
            try:
                async with asyncio.timeout(dice.choice([0.05, 10, 10])):
                    answer = await http.post(path, json=body)
            except TimeoutError:
                seen["hung up"] += 1
                return
            seen[answer.status_code] += 1
            if body.get("background") and answer.status_code == 200 and not body["stream"] and dice.random() < 0.5:
                await http.post(f"responses/{answer.json()['id']}/cancel")
                seen["cancelled"] += 1

        async def ask_in_turn() -> None:
            for _ in range(rounds):
                await ask()

        await asyncio.gather(*(ask_in_turn() for _ in range(50)))
        await eventually(lambda: served.admission.running == served.admission.queued == 0, within=60)
        assert {"hung up", 200, 400} <= set(seen), seen
        assert served.app.state.runs._alive == {}
        clock.now += 60
        backend.script = in_turn(Reply(["Hello."]))
        assert (await http.post("responses", json=BODIES["responses"])).status_code == 200
