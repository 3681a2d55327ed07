"""What is counted of requests and runs, and `/metrics`, where Prometheus reads it.

Labels have few values: routes are templates, tools those that there are; none is a tenant, a session or a run.

Several worker processes are added up where `PROMETHEUS_MULTIPROC_DIR` names a folder that they share. It must be set
before this module is imported, and the folder be empty when the first of them starts.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections.abc import Container, Iterable
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from programs.errors import NotAuthenticated, NotFound
from programs.events import CodeRan, EnvironmentOpened, Event, ModelAnswered, RunDone, TextDelta, ToolRan
from server.gateway import is_loopback
from server.health import VERSION
from server.openapi import errors
from server.settings import Settings
from server.workers import SHARED
from store import Spent

router = APIRouter()

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counts of one process.

    Args:
        tools: the names of the tools that there are; a call of any other is counted as `other`.
    """

    def __init__(self, tools: Container[str] = ()) -> None:
        self._tools = tools
        self._registry = CollectorRegistry()

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"rants_{name}", about, labels, registry=self._registry)

        def gauge(name: str, about: str) -> Gauge:
            return Gauge(f"rants_{name}", about, registry=self._registry, multiprocess_mode="livesum")

        def seconds(name: str, about: str, *labels: str) -> Histogram:
            return Histogram(f"rants_{name}_seconds", about, labels, registry=self._registry, buckets=_SECONDS)

        self._requests = counter("http_requests", "Requests that were answered.", "method", "route", "status")
        self._request = seconds("http_request_duration", "From a request to the end of its answer.", "method", "route")
        self._first_byte = seconds("http_first_byte", "From a request to the first byte of its stream.", "route")
        self._runs = counter("runs", "Runs that have ended.", "outcome")
        self._run = seconds("run_duration", "From a run's beginning to its end.", "outcome")
        self._first_token = seconds("run_first_token", "From a run's beginning to the first text of its answer.")
        self._in_flight = gauge("runs_in_flight", "Runs that have not ended, or wait to begin.")
        self._early = counter("early_ends", "Runs that answered, but had to end early.", "reason")
        self._calls = counter("model_calls", "Calls of models.", "role", "model", "outcome")
        self._call = seconds("model_call_duration", "Of one call of a model.", "role", "model")
        self._tokens = counter("tokens", "Of prompts, of replies, and of prompts, cached.", "role", "model", "kind")
        self._tool_runs = counter("tool_runs", "Gateway tools that were executed.", "tool", "outcome")
        self._tool_run = seconds("tool_run_duration", "Of one execution of a gateway tool.", "tool")
        self._starts = counter("environment_starts", "Environments that were opened, or could not be.", "outcome")
        self._start = seconds("environment_start_duration", "Until an environment could be used.")
        self._lost = counter("environment_losses", "Turns after which an environment had to be started again.")
        self._write = seconds("store_write_duration", "Until the end of a run was written down.")
        self._queue = gauge("queue_length", "Requests that wait to be admitted.")
        self._waiting = seconds("queue_wait", "Until a request was admitted that had to wait.")
        self._rejections = counter("rejections", "Requests that were not admitted.", "reason")
        build = Gauge(
            "rants_build_info", "What runs here.", ["version"], registry=self._registry, multiprocess_mode="max"
        )
        build.labels(VERSION).set(1)

    def answered(self, method: str, route: str | None, status: int, took: float, first_byte: float | None) -> None:
        """Count a request.

        Args:
            method: of HTTP.
            route: the template of its path; None where no route was found.
            status: of HTTP.
            took: seconds to the end of the answer.
            first_byte: seconds to the first byte, of a stream.
        """
        method, route = method if method in _METHODS else _OTHER, route or _OTHER
        self._requests.labels(method, route, str(status)).inc()
        self._request.labels(method, route).observe(took)
        if first_byte is not None:
            self._first_byte.labels(route).observe(first_byte)

    def run(self) -> RunMeter:
        """Begin to count a run. Tell the meter when it is over, whatever happens."""
        self._in_flight.inc()
        return RunMeter(self)

    def queued(self, change: int) -> None:
        """Count that a request begins to wait to be admitted (1), or does no more (-1)."""
        self._queue.inc(change)

    def waited(self, took: float) -> None:
        """Count a request that was admitted after so many seconds in the queue."""
        self._waiting.observe(took)

    def rejected(self, reason: str) -> None:
        """Count a request that was not admitted, by one of few reasons: see `server.admission`."""
        self._rejections.labels(reason).inc()

    def wrote(self, took: float) -> None:
        """Count the seconds that it took to write down the end of a run."""
        self._write.observe(took)

    def text(self) -> bytes:
        """Everything in Prometheus' text form. It blocks: worker processes tell each other by files."""
        if SHARED not in os.environ:
            return generate_latest(_WithShares(self._registry))
        folder = Path(os.environ[SHARED])
        for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
            if not _alive(pid):
                mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        return generate_latest(_WithShares(MultiProcessCollector(None, str(folder))))  # type: ignore[no-untyped-call]

    def happened(self, event: Event) -> None:
        """Count an event of a run."""
        match event:
            case TextDelta():
                pass
            case ModelAnswered(role, model, outcome, usage, took):
                self._calls.labels(role, model, outcome).inc()
                self._call.labels(role, model).observe(took)
                for kind in ("prompt", "completion", "cached"):
                    self._tokens.labels(role, model, kind).inc(getattr(usage, kind))
            case ToolRan(call=call, ok=ok, seconds=took):
                tool = call.name if call.name in self._tools else _OTHER
                self._tool_runs.labels(tool, "ok" if ok else "failed").inc()
                self._tool_run.labels(tool).observe(took)
            case EnvironmentOpened(ok, took):
                self._starts.labels("ok" if ok else "failed").inc()
                self._start.observe(took)
            case CodeRan(fresh=True):
                self._lost.inc()

    def over(self, done: RunDone, took: float) -> None:
        """Count a run that has ended."""
        self._in_flight.dec()
        self._runs.labels(done.outcome).inc()
        self._run.labels(done.outcome).observe(took)
        if done.reason is not None and done.outcome != "failed":
            self._early.labels(done.reason).inc()

    def first_token(self, took: float) -> None:
        """Count the first text of a run."""
        self._first_token.observe(took)


class RunMeter:
    """What is counted of one run."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._start = time.perf_counter()
        self._silent = True
        self._models: dict[str, Spent] = {}

    @property
    def models(self) -> tuple[Spent, ...]:
        """What the calls of each model have cost."""
        return tuple(self._models.values())

    def happened(self, event: Event) -> None:
        """Count an event."""
        if self._silent and isinstance(event, TextDelta):
            self._silent = False
            self._metrics.first_token(time.perf_counter() - self._start)
        if isinstance(event, ModelAnswered):
            self._models[event.role] = _with(self._models.get(event.role), event)
        self._metrics.happened(event)

    def over(self, done: RunDone) -> None:
        """Count the end."""
        self._metrics.over(done, time.perf_counter() - self._start)


def _with(spent: Spent | None, call: ModelAnswered) -> Spent:
    before = spent or Spent(call.role, 0, 0, 0.0, 0, 0, 0)
    return Spent(
        role=call.role,
        calls=before.calls + 1,
        failed=before.failed + (call.outcome != "ok"),
        seconds=before.seconds + call.seconds,
        prompt=before.prompt + call.usage.prompt,
        completion=before.completion + call.usage.completion,
        cached=before.cached + call.usage.cached,
    )


class _WithShares(Collector):
    """What another collector has, and by role and model the share of prompt tokens that were cached."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterable[Metric]:
        """See Prometheus' client."""
        shares = GaugeMetricFamily("rants_cache_share", "Cached / prompt tokens, since the start.", labels=_WHOSE)
        for family in self._collector.collect():
            yield family
            if family.name == "rants_tokens":
                tokens = {
                    (*(sample.labels[name] for name in _WHOSE), sample.labels["kind"]): sample.value
                    for sample in family.samples
                    if sample.name == "rants_tokens_total"
                }
                for (role, model, kind), prompt in tokens.items():
                    if kind == "prompt" and prompt:
                        shares.add_metric((role, model), tokens.get((role, model, "cached"), 0.0) / prompt)
        yield shares


_WHOSE = ("role", "model")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@router.get("/metrics", response_class=PlainTextResponse, responses=errors(401, 404))
async def metrics(request: Request) -> Response:
    """What is counted, for Prometheus."""
    _check(request)
    counted: Metrics = request.app.state.metrics
    return Response(await asyncio.to_thread(counted.text), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _check(request: Request) -> None:
    """See that the metrics may be read.

    With `observability.metrics_key` by who sends it. Without, by everybody where everybody may ask; else by this
    machine alone, of a server that listens to no other. The key of a tenant does not open what all tenants do.

    Raises:
        NotFound: there are none.
        NotAuthenticated: they may not.
    """
    settings: Settings = request.app.state.settings
    if not settings.observability.metrics:
        raise NotFound("The metrics are turned off: see observability.metrics.")
    if (key := settings.observability.metrics_key) is not None:
        scheme, _, sent = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(sent.strip().encode(), key.get_secret_value().encode())
        if scheme.lower() != "bearer" or not right:
            raise NotAuthenticated("Send the key of observability.metrics_key as `Authorization: Bearer KEY`.")
    elif settings.auth.enabled:
        host = request.client.host if request.client else ""
        if not (is_loopback(settings.server.host) and is_loopback(host)):
            raise NotAuthenticated("The metrics are for this machine alone, unless observability.metrics_key is set.")
