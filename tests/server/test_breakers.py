"""A backend that fails, seen from outside: its fallback answers, it is left alone, and `/health` tells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import WAYS, Asking, ServerProcess, eventually, running

KEY = "sk-zebra-quagga-4711"
DOWN = Reply(status=500, error={"message": f"no memory left for {KEY}"})
FIRST, SECOND = in_turn(Reply(["The first."])), in_turn(Reply(["The second."]))


@pytest.fixture(scope="module")
def second() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(SECOND) as backend:
        yield backend


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend, second: ScriptedBackend
) -> Iterator[ServerProcess]:
    """A server whose generator has a fallback, and whose tool compiler is that fallback."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url.replace("//", f"//me:{KEY}@"),
        "RANTS_MODELS__GENERATOR__MODEL": "first",
        "RANTS_MODELS__GENERATOR__FALLBACKS__0__BASE_URL": second.base_url,
        "RANTS_MODELS__GENERATOR__FALLBACKS__0__MODEL": "second",
        "RANTS_MODELS__TOOL_COMPILER__BASE_URL": second.base_url,
        "RANTS_MODELS__TOOL_COMPILER__MODEL": "second",
        "RANTS_RESILIENCE__MAX_RETRIES": "0",
        "RANTS_RESILIENCE__BREAKER_FAILURES": "2",
        "RANTS_RESILIENCE__BREAKER_SECONDS": "3600",
        "RANTS_RESILIENCE__MAX_BREAKER_SECONDS": "7200",
        "RANTS_SERVER__HEALTH_CACHE_SECONDS": "0",
        "RANTS_TOOLS__BASH__ENABLED": "false",
    }
    with running(tmp_path_factory.mktemp("breakers"), variables) as process:
        yield process
    assert KEY not in process.log
    assert KEY.encode() not in process.database_bytes


@pytest.fixture
def sdk(gateway: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key="any", max_retries=0, timeout=60) as client:
        yield client


def health(server: ServerProcess) -> dict[str, Any]:
    answer = httpx2.get(f"{server.address}/health", timeout=60)
    assert KEY not in answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_a_backend_that_fails_is_left_alone_while_its_fallback_answers(
    gateway: ServerProcess, sdk: OpenAI, backend: ScriptedBackend, second: ScriptedBackend
) -> None:
    backend.script = FIRST
    assert [way.ask(sdk).text for way in WAYS] == ["The first."] * 4
    assert health(gateway)["status"] == "ok"

    backend.script = in_turn(DOWN)
    backend.requests = []
    assert [way.ask(sdk).text for way in WAYS] == ["The second."] * 4
    assert len(backend.calls) == 2, "then it is not asked any more"

    said = health(gateway)
    assert (said["status"], said["ready"]) == ("degraded", True)
    generator = said["backends"]["generator"]
    assert (generator["breaker"], generator["reachable"]) == ("open", False)
    assert "2 times in a row and is not asked" in generator["error"]
    assert [(each["model"], each["breaker"], each["error"]) for each in generator["fallbacks"]] == [
        ("second", "closed", None)
    ]
    assert httpx2.get(f"{gateway.address}/health/ready").status_code == 200
    assert len(backend.requests) == 2, "nor does /health ask it"

    second.script = in_turn(Reply(status=500))
    for way in WAYS:
        error = _refused(way, sdk)
        assert (error.status_code, error.code) == (503, "backend_unavailable")
        assert "not asked" in error.message
        assert "fallback 1: " in error.message
        assert KEY not in error.response.text
    assert 3000 < int(error.response.headers["retry-after"]) <= 3600
    said = health(gateway)
    assert (said["status"], said["ready"]) == ("degraded", False)
    assert said["backends"]["tool_compiler"]["breaker"] == "open", "it is the same backend"
    assert httpx2.get(f"{gateway.address}/health/ready").status_code == 503
    assert (len(backend.calls), len(second.calls)) == (2, 2 + 4)
    eventually(lambda: "is not asked for" in gateway.log)


def _refused(way: Asking, client: OpenAI) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as failed:
        way.ask(client)
    return failed.value
