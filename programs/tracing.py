"""Spans of OpenTelemetry over the whole tree of a run, in the words of its GenAI conventions.

    invoke_agent rants-one          a session: the run's own, or a child
      step                          what the generator says, and what comes of it
        chat MODEL                  a call of a model
        environment open            a sandbox is made ready
        environment turn            the code of a turn runs; what it calls lies below
        execute_tool NAME           a gateway tool runs; a child session may lie below

Only the API is needed here, and it does nothing until somebody installs an SDK. The parent of a span is the one that is
current, which each task inherits from the one that made it. Names: https://github.com/open-telemetry/semantic-conventions
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from programs.transcript import Session, Usage

__all__ = ["AttributeValue", "Span", "SpanKind", "Tracing", "costs"]

_ASKED = ("max_tokens", "temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")


class Tracing:
    """Makes the spans of a program.

    Args:
        tracer: where they go; None takes the provider that this process has installed, if it has.
        content: whether spans hold what was said: prompts, replies, code and results.
    """

    def __init__(self, tracer: Tracer | None = None, *, content: bool = False) -> None:
        self._tracer = tracer or trace.get_tracer("rants")
        self._content = content

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The copies of a program that optimisers make share it."""
        return self

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue | None] | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: context.Context | None = None,
    ) -> Generator[Span]:
        """A span that is current inside. What is raised out of it is its status, by the name of the error's class.

        Not to be used around the `yield` of an async generator, whose caller may live in another context.

        Args:
            name: of few kinds.
            attributes: those that are None are left out.
            kind: see OpenTelemetry.
            parent: where it belongs; None for the span that is current.
        """
        known = {key: value for key, value in (attributes or {}).items() if value is not None}
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=known)
        if not span.get_span_context().is_valid:
            yield span
            return
        token = context.attach(trace.set_span_in_context(span, parent))
        try:
            yield span
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
            self.failed(span, "cancelled" if cancelled else type(error).__name__, str(error))
            raise
        finally:
            context.detach(token)
            span.end()

    def session(self, session: Session, agent: str) -> AbstractContextManager[Span]:
        """The span of a session that the model named `agent` answers."""
        asked = session.transcript.messages[-1:]
        about: dict[str, AttributeValue | None] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "rants",
            "gen_ai.agent.name": agent,
            "gen_ai.conversation.id": session.id,
            "rants.session.depth": session.depth,
            **self.said("gen_ai.input.messages", [{"role": said.role, "content": said.content} for said in asked]),
        }
        return self.span(f"invoke_agent {agent}", about)

    def model(
        self, role: str, model: str, *, provider: str, config: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> Any:
        """The span of one call of a model."""
        about: dict[str, AttributeValue | None] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
            "rants.role": role,
            **{f"gen_ai.request.{name}": config.get(name) for name in _ASKED},
            **(self.said("gen_ai.input.messages", _asked(inputs)) if self._content else {}),
        }
        # In this process there is no other side.
        kind = SpanKind.INTERNAL if provider == "embedded" else SpanKind.CLIENT
        return self.span(f"chat {model}", about, kind=kind)

    def said(self, name: str, messages: Sequence[Mapping[str, Any]]) -> dict[str, AttributeValue | None]:
        """The attribute that holds these chat messages, where spans hold what was said."""
        if not self._content:
            return {}
        parts = [
            {"role": message["role"], "parts": [{"type": "text", "content": message["content"]}]}
            for message in messages
        ]
        return {name: json.dumps(parts, ensure_ascii=False, default=str)}

    def text(self, name: str, text: str | None) -> dict[str, AttributeValue]:
        """The attribute that holds this text, where spans hold what was said."""
        return {name: text} if self._content and text is not None else {}

    def failed(self, span: Span, kind: str, message: str) -> None:
        """Say in a span that it did not go well. The message may quote what was said."""
        span.set_attribute("error.type", kind)
        span.set_status(StatusCode.ERROR, message if self._content else None)


def costs(usage: Usage) -> dict[str, AttributeValue]:
    """What was spent, as attributes."""
    return {
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.completion,
        "gen_ai.usage.cache_read.input_tokens": usage.cached,
    }


def _asked(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The inputs of a predictor as chat messages: its conversation, and each other input as the user's."""
    messages = list(inputs.get("messages") or ())
    return messages + [
        {"role": "user", "content": f"{name}: {value}"} for name, value in inputs.items() if name != "messages"
    ]
