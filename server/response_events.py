"""Folds a run into OpenAI's response object and the numbered events of its stream.

The same events in give the same numbers and ids out, so that a stream can be joined again at any number, also after
the run is over. Every key that OpenAI's types or the Open Responses specification ask for is present, null where
there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseFailedEvent,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseQueuedEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from programs import Usage
from programs.events import Event, Heartbeat, RunDone, TextDelta
from store import Run, StoredRun

__all__ = ["Answer", "ResponseFold"]

type ItemStatus = Literal["in_progress", "completed", "incomplete"]

# What a response's error may be called; everything else is the server's fault.
_ERROR_CODES = {"rate_limit_exceeded": "rate_limit_exceeded", "context_length_exceeded": "invalid_prompt"}
_ENDS = {"completed": ResponseCompletedEvent, "failed": ResponseFailedEvent}


class Answer(Response):
    """OpenAI's response object. Its times are whole seconds, as OpenAI's server and the specification have them."""

    created_at: int
    completed_at: int | None = None


class ResponseFold:
    """The response of one run: `opening`, then `on` each of the run's events, in order."""

    def __init__(self, asked: Run | StoredRun) -> None:
        self._asked = asked
        self._number = 0
        self._text: list[str] = []
        self._item_id = asked.id.replace("resp_", "msg_", 1)

    def queued(self) -> Answer:
        """The response before anything has happened."""
        return self._answer("queued" if self._asked.background else "in_progress")

    def so_far(self, events: Sequence[Event]) -> Answer:
        """The response of a run that is alive."""
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        return self._answer("in_progress", output=self._output(text, "in_progress"))

    def answer(self, done: RunDone) -> Answer:
        """The response of a run that is over."""
        status: ItemStatus = "completed" if done.outcome == "completed" else "incomplete"
        incomplete = failed = None
        if done.outcome == "incomplete":
            # OpenAI's type knows two reasons; ours may be a part of the budget as well.
            incomplete = IncompleteDetails.model_validate({}).model_copy(update={"reason": done.reason})
        if done.outcome == "failed":
            code = _ERROR_CODES.get(done.reason or "", "server_error")
            failed = ResponseError(code=code, message=done.message or "")
        return self._answer(
            done.outcome,
            # An answer that ended well has its message, also when there was nothing to say.
            output=self._output(done.text, status, even_empty=status == "completed"),
            usage=_usage(done.usage),
            incomplete_details=incomplete,
            error=failed,
            completed_at=int(done.at) if done.outcome == "completed" else None,
            **mark(done),
        )

    def opening(self) -> Iterator[Any]:
        """The events with which every stream begins."""
        yield ResponseCreatedEvent(type="response.created", response=self.queued(), sequence_number=self._next())
        if self._asked.background:
            yield ResponseQueuedEvent(type="response.queued", response=self.queued(), sequence_number=self._next())
        yield self._in_progress()

    def on(self, event: Event) -> Iterator[Any]:
        """The events of the stream that say what `event` says."""
        match event:
            case TextDelta(text):
                if not self._text:
                    yield from self._open_item()
                self._text.append(text)
                yield ResponseTextDeltaEvent(
                    type="response.output_text.delta",
                    item_id=self._item_id,
                    output_index=0,
                    content_index=0,
                    delta=text,
                    logprobs=[],
                    sequence_number=self._next(),
                )
            case Heartbeat():
                # Clients' idle timers are reset by an event, not by a comment.
                yield self._in_progress()
            case RunDone() as done:
                if done.outcome == "completed" and not self._text:
                    yield from self._open_item()
                if done.outcome == "completed" or self._text:
                    yield from self._close_item("completed" if done.outcome == "completed" else "incomplete")
                end = _ENDS.get(done.outcome, ResponseIncompleteEvent)
                kind = {"completed": "completed", "failed": "failed"}.get(done.outcome, "incomplete")
                yield end(type=f"response.{kind}", response=self.answer(done), sequence_number=self._next())

    def _next(self) -> int:
        number = self._number
        self._number += 1
        return number

    def _in_progress(self) -> ResponseInProgressEvent:
        answer = self._answer("in_progress")
        return ResponseInProgressEvent(type="response.in_progress", response=answer, sequence_number=self._next())

    def _open_item(self) -> Iterator[Any]:
        yield ResponseOutputItemAddedEvent(
            type="response.output_item.added",
            output_index=0,
            item=self._message([], "in_progress"),
            sequence_number=self._next(),
        )
        yield ResponseContentPartAddedEvent(
            type="response.content_part.added",
            item_id=self._item_id,
            output_index=0,
            content_index=0,
            part=_part(""),
            sequence_number=self._next(),
        )

    def _close_item(self, status: ItemStatus) -> Iterator[Any]:
        text = "".join(self._text)
        yield ResponseTextDoneEvent(
            type="response.output_text.done",
            item_id=self._item_id,
            output_index=0,
            content_index=0,
            text=text,
            logprobs=[],
            sequence_number=self._next(),
        )
        yield ResponseContentPartDoneEvent(
            type="response.content_part.done",
            item_id=self._item_id,
            output_index=0,
            content_index=0,
            part=_part(text),
            sequence_number=self._next(),
        )
        yield ResponseOutputItemDoneEvent(
            type="response.output_item.done",
            output_index=0,
            item=self._message([_part(text)], status),
            sequence_number=self._next(),
        )

    def _output(self, text: str, status: ItemStatus, *, even_empty: bool = False) -> list[ResponseOutputMessage]:
        return [self._message([_part(text)], status)] if text or even_empty else []

    def _message(self, content: list[ResponseOutputText], status: ItemStatus) -> ResponseOutputMessage:
        return ResponseOutputMessage(
            type="message", id=self._item_id, role="assistant", status=status, content=list(content)
        )

    def _answer(self, status: str, **more: Any) -> Answer:
        said = {
            "output": [],
            "usage": None,
            "incomplete_details": None,
            "error": None,
            "completed_at": None,
            **more,
        }
        echo = self._asked.request["echo"]
        answer = Answer(
            id=self._asked.id,
            object="response",
            created_at=int(self._asked.created_at),
            status=status,
            model=self._asked.model,
            parallel_tool_calls=echo["parallel_tool_calls"],
            tool_choice="auto",
            tools=[],
            **said,
        )
        # The request's own words go back as they came: also tools and options of kinds that nobody knows yet.
        return answer.model_copy(update=echo)


def mark(done: RunDone) -> dict[str, Any]:
    """What an answer says beyond OpenAI's own keys, when the budget ended before the work: it is the best so far."""
    return {"rants": {"stopped_by": done.reason}} if done.outcome == "completed" and done.reason else {}


def _part(text: str) -> ResponseOutputText:
    return ResponseOutputText(type="output_text", text=text, annotations=[], logprobs=[])


def _usage(usage: Usage) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=usage.prompt,
        input_tokens_details=InputTokensDetails(cached_tokens=usage.cached, cache_write_tokens=0),
        output_tokens=usage.completion,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        total_tokens=usage.prompt + usage.completion,
    )
