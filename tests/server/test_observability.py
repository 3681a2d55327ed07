"""What operators see of one server: its metrics, its traces at a real receiver, and its log."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import MODEL, InstalledServer, ServerProcess, eventually, running

KEY = "key-of-ada-0123456789abcdef"
METRICS_KEY = "key-of-prometheus-0123456789"
PROMPT = "My secret is quokka."
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"


class Receiver:
    """A receiver of traces over OTLP/HTTP: `spans` is what has arrived."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {item.key: item.value.string_value for item in resource.resource.attributes}
                    assert names["service.name"] == "rants"
                    spans.extend(span for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def seen(
    tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend, receiver: Receiver
) -> Iterator[ServerProcess]:
    """A server that tells everything, and asks for keys."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
        "RANTS_AUTH__ENABLED": "true",
        "RANTS_AUTH__API_KEYS__0__KEY": KEY,
        "RANTS_AUTH__API_KEYS__0__TENANT_ID": "ada",
        "RANTS_RESILIENCE__MAX_RETRIES": "0",
        "RANTS_OBSERVABILITY__LOGS": "json",
        "RANTS_OBSERVABILITY__METRICS_KEY": METRICS_KEY,
        "RANTS_OBSERVABILITY__OTLP_ENDPOINT": receiver.address,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    with running(tmp_path_factory.mktemp("seen"), variables) as process:
        yield process


@pytest.fixture
def ada(seen: ServerProcess, backend: ScriptedBackend) -> Iterator[httpx2.Client]:
    backend.script = in_turn(Reply(["Hello", " there."], usage=usage(100, 5, 80)))
    with httpx2.Client(base_url=seen.address, timeout=60, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def ask(client: httpx2.Client, text: str = PROMPT, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """Ask a question over the chat API."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
    return client.post("/v1/chat/completions", json=body, headers=headers or {})


class Counts(dict[tuple[str, ...], float]):
    """Samples by their name and their labels' values."""

    def __call__(self, name: str, *values: str) -> float:
        return self.get((name, *sorted(values)), 0.0)

    def since(self, before: Counts) -> Counts:
        """What has been added."""
        return Counts((sample, value - before.get(sample, 0.0)) for sample, value in self.items())


def counts(client: httpx2.Client) -> Counts:
    """What is counted now."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_KEY}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(answer.text)


def parsed(text: str) -> Counts:
    return Counts(
        ((sample.name, *sorted(sample.labels.values())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )


CHAT = "/v1/chat/completions"


def test_a_request_and_its_run_are_counted(ada: httpx2.Client) -> None:
    before = counts(ada)
    assert ask(ada).status_code == 200
    assert ask(ada, stream=True).status_code == 200
    assert ask(ada, temperature=9).status_code == 400
    after = counts(ada)
    more = after.since(before)
    assert more("rants_http_requests_total", "POST", CHAT, "200") == 2
    assert more("rants_http_requests_total", "POST", CHAT, "400") == 1
    assert more("rants_http_request_duration_seconds_count", "POST", CHAT) == 3
    assert more("rants_http_first_byte_seconds_count", CHAT) == 1
    assert more("rants_runs_total", "completed") == 2
    assert more("rants_run_duration_seconds_count", "completed") == 2
    assert more("rants_run_first_token_seconds_count") == 2
    assert more("rants_store_write_duration_seconds_count") == 2
    assert more("rants_model_calls_total", "generator", "scripted", "ok") == 2
    assert more("rants_tokens_total", "generator", "scripted", "prompt") == 200
    assert more("rants_tokens_total", "generator", "scripted", "completion") == 10
    assert more("rants_tokens_total", "generator", "scripted", "cached") == 160
    assert after("rants_runs_in_flight") == 0
    assert 0 < after("rants_cache_share", "generator", "scripted") <= 0.8


def test_what_goes_wrong_is_counted_by_its_kind(ada: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(status=500))
    before = counts(ada)
    assert ask(ada).status_code == 503
    more = counts(ada).since(before)
    assert more("rants_model_calls_total", "generator", "scripted", "BackendUnavailable") == 1
    assert more("rants_runs_total", "failed") == 1
    assert more("rants_runs_in_flight") == 0


def test_what_is_explored_is_counted(ada: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["```python\nSUBMIT('quokka')\n```"], usage=usage(10, 5)))
    before = counts(ada)
    assert ask(ada, "Nothing of note. " * 3000).json()["choices"][0]["message"]["content"] == "quokka"
    more = counts(ada).since(before)
    assert more("rants_environment_starts_total", "ok") == 1
    assert more("rants_model_calls_total", "code_interpreter", "scripted", "ok") == 1


def test_a_gateway_tool_is_counted(ada: httpx2.Client, backend: ScriptedBackend) -> None:
    wants = Reply(['TOOL_INTENT: call ls with {"path": "."}'])
    backend.script = lambda body: wants if "TOOL_RESULT" not in str(body["messages"][-1]) else Reply(["Done."])
    before = counts(ada)
    tools = [{"type": "mcp", "server_label": "rants", "allowed_tools": ["ls"]}]
    said = ada.post("/v1/responses", json={"model": MODEL, "input": "Go.", "tools": tools}).json()
    assert said["status"] == "completed"
    more = counts(ada).since(before)
    assert more("rants_tool_runs_total", "ls", "ok") == 1
    assert more("rants_tool_run_duration_seconds_count", "ls") == 1


def test_labels_have_few_values_whatever_is_asked(ada: httpx2.Client) -> None:
    known = ask(ada).json()["id"]
    for number in range(3):
        ada.get(f"/v1/responses/resp_{number}", headers={"x-session-id": f"session-{number}"})
        ada.get(f"/nowhere/{number}", headers={"Authorization": f"Bearer nobody-{number}"})
        ada.request(f"ODD{number}", "/v1/models")
    after = counts(ada)
    values = {value for sample in after for value in sample[1:]}
    assert {"/v1/responses/{response_id}", "other"} <= values
    assert not [value for value in values if known in value or value.startswith(("resp_", "/nowhere", "ODD", "nobody"))]
    assert not values & {"ada", KEY, METRICS_KEY, "session-1"}


def test_metrics_are_for_who_has_their_key(ada: httpx2.Client) -> None:
    for headers in ({}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"Basic {METRICS_KEY}"}):
        answer = httpx2.get(f"{ada.base_url}/metrics", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def spans_of(receiver: Receiver, trace: str, *, within: float = 10.0) -> dict[str, Span]:
    """The spans of a trace by name, once the one of its request is there."""

    def arrived() -> dict[str, Span]:
        return {span.name: span for span in receiver.spans if span.trace_id.hex() == trace}

    eventually(lambda: f"POST {CHAT}" in arrived(), within=within)
    return arrived()


def attributes(span: Span) -> dict[str, Any]:
    return {item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in span.attributes}


def test_a_trace_goes_on_from_the_caller_down_to_the_call_of_the_model(ada: httpx2.Client, receiver: Receiver) -> None:
    assert ask(ada, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"}).status_code == 200
    spans = spans_of(receiver, TRACE)
    names = [f"POST {CHAT}", "invoke_agent rants-one", "step", "chat scripted"]
    assert sorted(spans) == sorted(names)
    parents = [CALLER, *(spans[name].span_id.hex() for name in names)]
    assert [spans[name].parent_span_id.hex() for name in names] == parents[:-1]
    request = attributes(spans[names[0]])
    assert (request["http.route"], request["http.response.status_code"]) == (CHAT, 200)
    assert spans[names[0]].kind == Span.SPAN_KIND_SERVER
    assert "quokka" not in str(spans)


def lines(server: ServerProcess) -> list[dict[str, Any]]:
    """The log, after the banner: every line of it is JSON."""
    return [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]


def test_each_request_has_one_line_that_names_everything(
    ada: httpx2.Client, seen: ServerProcess, receiver: Receiver
) -> None:
    trace = TRACE.replace("0af", "1af")
    headers = {"traceparent": f"00-{trace}-{CALLER}-01", "x-request-id": "request-of-ada"}
    said = ask(ada, headers=headers).json()
    eventually(lambda: "request-of-ada" in seen.log)
    (line,) = [line for line in lines(seen) if line.get("request_id") == "request-of-ada"]
    assert (line["level"], line["logger"]) == ("info", "rants.access")
    assert (line["method"], line["route"], line["status"]) == ("POST", CHAT, 200)
    assert (line["tenant"], line["run"], line["trace_id"]) == ("ada", said["id"], trace)
    assert line["seconds"] > 0
    assert line["message"].startswith(f"POST {CHAT} 200 ")


def test_ids_of_one_request_are_not_in_the_line_of_the_next(ada: httpx2.Client, seen: ServerProcess) -> None:
    ask(ada)
    ada.get("/v1/models", headers={"x-request-id": "second", "Authorization": ""})
    eventually(lambda: '"second"' in seen.log)
    (line,) = [line for line in lines(seen) if line.get("request_id") == "second"]
    assert line["status"] == 401
    assert not line.keys() & {"tenant", "run", "session"}


def test_no_key_no_header_and_no_prompt_is_ever_logged(
    ada: httpx2.Client, seen: ServerProcess, backend: ScriptedBackend
) -> None:
    ask(ada)
    ask(ada, temperature=PROMPT)
    ask(ada, headers={"Authorization": "Bearer wrong-key-of-quokka-0123456789"})
    ada.get(f"/v1/responses/{PROMPT}?starting_after={PROMPT}")
    backend.script = in_turn(Reply(status=400, error={"message": PROMPT}))
    ask(ada, headers={"x-request-id": "the-last"})
    eventually(lambda: "the-last" in seen.log)
    for secret in (KEY, METRICS_KEY, "quokka", "Bearer", "My secret"):
        assert secret not in seen.log


@pytest.mark.slow
def test_worker_processes_add_up_what_they_count(tmp_path: Path) -> None:
    """Each has its own counts; whichever is asked tells the sum, without the gauges of those that have ended."""
    program = """
import os
from programs.events import ModelAnswered
from programs.transcript import Usage
from server.metrics import Metrics
metrics = Metrics()

def work(cached):
    run = metrics.run()
    run.happened(ModelAnswered("generator", "m", "ok", Usage(prompt=100, completion=1, cached=cached), 0.1))
    metrics.answered("GET", "/a", 200, 0.1, None)
    metrics.queued(1)

if other := os.fork():
    os.waitpid(other, 0)
    work(50)
    print(metrics.text().decode())
else:
    work(100)
"""
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    said = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout
    found = parsed(said)
    assert found("rants_http_requests_total", "GET", "/a", "200") == 2
    assert found("rants_http_request_duration_seconds_count", "GET", "/a") == 2
    assert found("rants_cache_share", "generator", "m") == 0.75
    assert found("rants_runs_in_flight") == 1
    assert found("rants_queue_length") == 1


@pytest.mark.slow
def test_workers_of_one_server_are_one_in_its_metrics(tmp_path: Path, scripted_backend: ScriptedBackend) -> None:
    scripted_backend.script = in_turn(Reply(["Hello."]))
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_SERVER__WORKERS": "2",
    }
    with running(tmp_path, variables, InstalledServer) as server:
        for _ in range(20):  # a connection each, so that both get some
            with httpx2.Client(base_url=server.address, timeout=60) as client:
                assert ask(client).status_code == 200
        for _ in range(10):
            found = parsed(httpx2.get(f"{server.address}/metrics").text)
            assert found("rants_runs_total", "completed") == 20
