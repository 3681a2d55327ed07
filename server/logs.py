"""How the server's log looks: lines for people, or one JSON object a line, for all loggers, uvicorn's too.

No line holds a key, a header or what was said. What an exception says may quote what was said, so that it is left out:
its class and where it was raised are there. `observability.content` puts it in.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from opentelemetry import trace

from server.settings import ObservabilitySettings

_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default={})  # noqa: B039 - a Mapping, never changed

_ACCESS = ("method", "route", "status", "seconds")
_WITHHELD = "(what it says is left out: see observability.content)"

type _ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def bind(**ids: str | None) -> None:
    """Have every line that is logged from here on, in this task and those that it makes, name these ids.

    They are `request_id`, `tenant`, `run` and `session`.
    """
    _ids.set({**_ids.get(), **{name: value for name, value in ids.items() if value is not None}})


@contextmanager
def bound(**ids: str | None) -> Iterator[None]:
    """As `bind`, and what was bound inside is forgotten afterwards."""
    token = _ids.set(_ids.get())
    try:
        bind(**ids)
        yield
    finally:
        _ids.reset(token)


_AS_THE_ROOT = {"handlers": [], "level": "NOTSET", "propagate": True}
"""For loggers that were given handlers of their own before, as uvicorn gives its own."""


def config(settings: ObservabilitySettings, level: str) -> dict[str, Any]:
    """The configuration of all loggers, for `logging.config.dictConfig` or uvicorn's `log_config`.

    Args:
        settings: how lines look.
        level: of the least that is logged.
    """
    form = "server.logs.JSONLines" if settings.logs == "json" else "server.logs.TextLines"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": form, "content": settings.content}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["lines"], "level": level.upper()},
        # Whatever was configured before: uvicorn by itself has handlers of its own.
        "loggers": {
            name: {"handlers": [], "level": "NOTSET", "propagate": True} for name in ("uvicorn", "uvicorn.error")
        },
    }


class _Lines(logging.Formatter):
    """What both forms have in common.

    Args:
        content: whether what exceptions say is shown.
    """

    def __init__(self, *, content: bool = False) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._content = content

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging's name
        """The traceback, with what the exceptions say or without."""
        if self._content or ei[1] is None:
            return super().formatException(ei)
        return "".join(_frames(ei[1])).rstrip()

    def said(self, record: logging.LogRecord) -> str:
        """The message. asyncio's go on with what a task has raised."""
        message = record.getMessage()
        return message if self._content or record.name != "asyncio" else message.partition("\n")[0]


class TextLines(_Lines):
    """Lines for people."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """See `logging.Formatter`."""
        record.message = self.said(record)
        return super().formatMessage(record)


class JSONLines(_Lines):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line: `time`, `level`, `logger`, `message`, ids, and `exception` where there is one."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.said(record),
            **_ids.get(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
            line["span_id"] = trace.format_span_id(span.span_id)
        line |= {name: vars(record)[name] for name in _ACCESS if name in vars(record)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _frames(error: BaseException, why: Literal["", "cause", "context"] = "") -> Iterator[str]:
    """The traceback of `error` and of those before it, oldest first, without what they say."""
    if error.__cause__ is not None:
        yield from _frames(error.__cause__, "cause")
    elif error.__context__ is not None and not error.__suppress_context__:
        yield from _frames(error.__context__, "context")
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {_WITHHELD}\n"
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield "\nof which:\n\n"
            yield from _frames(inner)
    if why:
        joint = "the direct cause of the next" if why == "cause" else "handled when the next was raised"
        yield f"\nThis was {joint}:\n\n"
