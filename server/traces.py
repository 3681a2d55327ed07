"""Where the spans of this process go: OpenTelemetry's SDK, with an exporter over OTLP/HTTP."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import Scope

from programs.tracing import Span, SpanKind, Tracing
from server.health import VERSION
from server.settings import ObservabilitySettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_LAST_SPANS_SECONDS = 2.0
"""How long a server that stops may still take to send what it has."""

_TRACE_CONTEXT = TraceContextTextMapPropagator()


class Traces:
    """The spans of one process; they go nowhere where no receiver is configured.

    Args:
        settings: where they go, and whether they hold what was said.
        exporter: takes them instead of the receiver that is configured.
    """

    def __init__(self, settings: ObservabilitySettings, exporter: SpanExporter | None = None) -> None:
        self._provider: TracerProvider | None = None
        if exporter is None and settings.otlp_endpoint is not None:
            # Imported only when it is configured: it takes a third of a second.
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces")
        if exporter is not None:
            self._provider = _provider(exporter)
        tracer = self._provider.get_tracer("rants", VERSION) if self._provider else None
        self.tracing = Tracing(tracer, content=settings.content)
        """What makes them."""

    def request(self, scope: Scope) -> AbstractContextManager[Span]:
        """The span of a request. It belongs to the caller's, where the caller says so (`traceparent`)."""
        about = {"http.request.method": scope["method"], "url.scheme": scope["scheme"], "url.path": scope["path"]}
        return self.tracing.span(scope["method"], about, kind=SpanKind.SERVER, parent=_callers(scope))

    def answered(self, span: Span, method: str, route: str | None, status: int) -> None:
        """Say in the span of a request what came of it."""
        if not span.is_recording():
            return
        span.set_attribute("http.response.status_code", status)
        if route is not None:
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)
        if status >= 500:
            self.tracing.failed(span, str(status), "")

    async def aclose(self) -> None:
        """Send what is left, for a moment at most."""
        if self._provider is not None:
            # It may try again for long, and nothing waits for a daemon.
            ending = threading.Thread(target=self._provider.shutdown, name="rants-traces", daemon=True)
            ending.start()
            await asyncio.to_thread(ending.join, _LAST_SPANS_SECONDS)


def _callers(scope: Scope) -> Context | None:
    carrier = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name.startswith(b"trace")}
    return _TRACE_CONTEXT.extract(carrier) if carrier else None


def _provider(exporter: SpanExporter) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.version": VERSION})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):  # OTEL_SERVICE_NAME says nothing
        resource = resource.merge(Resource({"service.name": "rants"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
