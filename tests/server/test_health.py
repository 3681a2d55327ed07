"""`/health` and `/v1/models`."""

from __future__ import annotations

from importlib.metadata import version

import httpx2
from openai import OpenAI

from evals.scripted import ScriptedBackend
from tests.conftest import key_of
from tests.support import MODEL, ServerProcess


def test_health_tells_the_version_the_store_the_environment_and_every_backend(
    http: httpx2.Client, backend: ScriptedBackend
) -> None:
    answer = http.get("/health")
    assert answer.status_code == 200
    said = answer.json()
    assert (said["status"], said["ready"], said["version"]) == ("ok", True, version("rants"))
    assert said["store"] == {"ok": True, "error": None}
    assert said["environment"] == {"name": "jail", "ok": True, "error": None}
    latency = said["backends"]["generator"].pop("latency_ms")
    assert latency > 0
    assert said["backends"] == {
        "generator": {
            "provider": "openai",
            "model": "scripted",
            "reachable": True,
            "error": None,
            "breaker": "closed",
            "fallbacks": [],
        }
    }


def test_the_server_is_alive_but_not_ready_while_its_backend_is_away(
    http: httpx2.Client, backend: ScriptedBackend
) -> None:
    assert http.get("/health/ready").status_code == 200
    with backend.away():
        said = http.get("/health").json()
        assert (said["status"], said["ready"]) == ("degraded", False)
        assert said["backends"]["generator"]["reachable"] is False
        assert str(backend.port) in said["backends"]["generator"]["error"]
        assert http.get("/health/ready").status_code == 503
        assert http.get("/health/live").json() == {"status": "ok"}
    assert http.get("/health/ready").json() == {"status": "ok"}
    assert http.get("/health").json()["status"] == "ok"


def test_what_was_seen_is_remembered_for_a_while(guarded_server: ServerProcess, backend: ScriptedBackend) -> None:
    with httpx2.Client(base_url=guarded_server.address, headers={"x-api-key": key_of("alice")}) as http:
        before = http.get("/health").json()
        with backend.away():
            assert http.get("/health").json() == before


def test_liveness_and_readiness_need_no_key_and_the_details_do(
    guarded_server: ServerProcess, backend: ScriptedBackend
) -> None:
    with httpx2.Client(base_url=guarded_server.address) as http:
        assert [http.get(f"/health{path}").status_code for path in ("", "/live", "/ready")] == [401, 200, 200]


def test_the_embedded_model_is_a_backend_like_any_other(embedded_server: ServerProcess) -> None:
    said = httpx2.get(f"{embedded_server.address}/health", timeout=60).json()
    assert said["status"] == "ok"
    assert said["backends"]["generator"]["provider"] == "embedded"
    assert said["backends"]["generator"]["model"] == "smollm2-135m"


def test_there_is_one_model_and_it_is_found_by_name(client: OpenAI, http: httpx2.Client) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object) == (MODEL, "model")
    assert model.created > 1_700_000_000
    assert client.models.retrieve(MODEL) == model
    assert set(http.get(f"/v1/models/{MODEL}").json()) == {"id", "object", "created", "owned_by", "context_length"}
