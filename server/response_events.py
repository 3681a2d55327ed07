"""Folds a run into OpenAI's response object and the numbered events of its stream.

The same events in give the same numbers and ids out, so that a stream can be joined again at any number, also after
the run is over. Every key that OpenAI's types or the Open Responses specification ask for is present, null where
there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseError,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionCallArgumentsDoneEvent,
    ResponseFunctionToolCall,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseMcpCallArgumentsDeltaEvent,
    ResponseMcpCallArgumentsDoneEvent,
    ResponseMcpCallCompletedEvent,
    ResponseMcpCallFailedEvent,
    ResponseMcpCallInProgressEvent,
    ResponseOutputItem,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseQueuedEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
    ResponseUsage,
)
from openai.types.responses.mcp_tool_call_error import McpToolExecutionError
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_output_item import McpCall
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from programs import Usage
from programs.events import Event, Heartbeat, RunDone, StepDone, TextDelta, ToolRan, ToolStarted
from programs.transcript import ToolCall
from store import Run, StoredRun

__all__ = ["Answer", "ResponseFold", "whole"]

type ItemStatus = Literal["in_progress", "completed", "incomplete"]

# What a response's error may be called; everything else is the server's fault.
_ERROR_CODES = {"rate_limit_exceeded": "rate_limit_exceeded", "context_length_exceeded": "invalid_prompt"}
_ENDS = {"completed": ResponseCompletedEvent, "failed": ResponseFailedEvent}


class Answer(Response):
    """OpenAI's response object. Its times are whole seconds, as OpenAI's server and the specification have them."""

    created_at: int
    completed_at: int | None = None


class ResponseFold:
    """The response of one run: `opening`, then `on` each of the run's events, in order.

    Args:
        asked: the run.
        begun: a run in the background has begun, else it has with its first event.
    """

    def __init__(self, asked: Run | StoredRun, *, begun: bool = False) -> None:
        self._asked = asked
        self._number = 0
        self._items: list[ResponseOutputItem] = []
        self._text: list[str] | None = None  # of the message that is open: the last item
        self._step_over = False
        self._done: RunDone | None = None
        self._begun = begun or not asked.background

    def answer(self) -> Answer:
        """The response as it is now."""
        done = self._done
        if done is None:
            output = [*self._items]
            if self._text is not None:
                output[-1] = self._message([_part("".join(self._text))], "in_progress")
            return self._answer("in_progress" if self._begun else "queued", output=output)
        incomplete = failed = None
        if done.outcome == "incomplete":
            # OpenAI's type knows two reasons; ours may be a part of the budget as well.
            incomplete = IncompleteDetails.model_validate({}).model_copy(update={"reason": done.reason})
        if done.outcome == "failed":
            code = _ERROR_CODES.get(done.reason or "", "server_error")
            failed = ResponseError(code=code, message=done.message or "")
        return self._answer(
            done.outcome,
            output=self._items,
            usage=_usage(done.usage),
            incomplete_details=incomplete,
            error=failed,
            completed_at=int(done.at) if done.outcome == "completed" else None,
            **mark(done),
        )

    def opening(self) -> Iterator[Any]:
        """The events with which every stream begins."""
        created = self._answer("queued" if self._asked.background else "in_progress")
        yield ResponseCreatedEvent(type="response.created", response=created, sequence_number=self._next())
        if self._asked.background:
            yield ResponseQueuedEvent(type="response.queued", response=created, sequence_number=self._next())
        else:
            yield self._in_progress()

    def on(self, event: Event) -> Iterator[Any]:
        """The events of the stream that say what `event` says."""
        if not self._begun:
            self._begun = True
            yield self._in_progress()
            if isinstance(event, Heartbeat):
                return
        yield from self._say(event)

    def _say(self, event: Event) -> Iterator[Any]:
        match event:
            case TextDelta(text):
                if self._step_over:
                    yield from self._close_message("completed")
                if self._text is None:
                    yield from self._open_message()
                yield self._more_text(text)
            case Heartbeat():
                # Clients' idle timers are reset by an event, not by a comment.
                yield self._in_progress()
            case StepDone():
                self._step_over = True
            case ToolStarted(call=call):
                yield from self._close_message("completed")
                yield from self._open_gateway_call(call)
            case ToolRan() as ran:
                yield from self._close_gateway_call(ran)
            case RunDone() as done:
                whole = done.outcome == "completed"
                # An answer that ended well says something, also when that is nothing.
                if whole and not self._items and not done.calls:
                    yield from self._open_message()
                if done.outcome == "failed":
                    self._break_off()
                yield from self._close_message("completed" if whole else "incomplete")
                yield from self._leave_gateway_calls(told=done.outcome != "failed")
                for call in done.calls:
                    yield from self._client_call(call)
                self._done = done
                end = _ENDS.get(done.outcome, ResponseIncompleteEvent)
                kind = {"completed": "completed", "failed": "failed"}.get(done.outcome, "incomplete")
                yield end(type=f"response.{kind}", response=self.answer(), sequence_number=self._next())

    def _next(self) -> int:
        number = self._number
        self._number += 1
        return number

    def _in_progress(self) -> ResponseInProgressEvent:
        answer = self._answer("in_progress")
        return ResponseInProgressEvent(type="response.in_progress", response=answer, sequence_number=self._next())

    def _id(self, prefix: str, index: int) -> str:
        """The id of an item: the response's, and where in it the item stands."""
        return f"{prefix}_{self._asked.id.removeprefix('resp_')}{index or ''}"

    def _added(self, item: ResponseOutputItem) -> ResponseOutputItemAddedEvent:
        self._items.append(item)
        return ResponseOutputItemAddedEvent(
            type="response.output_item.added",
            output_index=len(self._items) - 1,
            item=item,
            sequence_number=self._next(),
        )

    def _item_done(self, index: int, item: ResponseOutputItem) -> ResponseOutputItemDoneEvent:
        self._items[index] = item
        return ResponseOutputItemDoneEvent(
            type="response.output_item.done", output_index=index, item=item, sequence_number=self._next()
        )

    def _open_message(self) -> Iterator[Any]:
        self._text = []
        item = ResponseOutputMessage(
            type="message",
            id=self._id("msg", len(self._items)),
            role="assistant",
            status="in_progress",
            content=[],
        )
        yield self._added(item)
        yield ResponseContentPartAddedEvent(
            type="response.content_part.added",
            item_id=item.id,
            output_index=len(self._items) - 1,
            content_index=0,
            part=_part(""),
            sequence_number=self._next(),
        )

    def _more_text(self, text: str) -> ResponseTextDeltaEvent:
        assert self._text is not None  # noqa: S101
        self._text.append(text)
        return ResponseTextDeltaEvent(
            type="response.output_text.delta",
            item_id=self._id("msg", len(self._items) - 1),
            output_index=len(self._items) - 1,
            content_index=0,
            delta=text,
            logprobs=[],
            sequence_number=self._next(),
        )

    def _close_message(self, status: ItemStatus) -> Iterator[Any]:
        self._step_over = False
        if self._text is None:
            return
        text, self._text = "".join(self._text), None
        index = len(self._items) - 1
        place: Any = {"item_id": self._id("msg", index), "output_index": index, "content_index": 0}
        yield ResponseTextDoneEvent(
            type="response.output_text.done", **place, text=text, logprobs=[], sequence_number=self._next()
        )
        yield ResponseContentPartDoneEvent(
            type="response.content_part.done", **place, part=_part(text), sequence_number=self._next()
        )
        yield self._item_done(index, self._message([_part(text)], status))

    def _break_off(self) -> None:
        """End a message without saying so: a client that sees it done sends it along when it tries again."""
        if self._text is not None:
            self._items[-1] = self._message([_part("".join(self._text))], "incomplete")
            self._text = None

    def _message(self, content: list[ResponseOutputText], status: ItemStatus) -> ResponseOutputMessage:
        """The message that is the last item, as it is now."""
        name = self._id("msg", len(self._items) - 1)
        return ResponseOutputMessage(type="message", id=name, role="assistant", status=status, content=list(content))

    def _client_call(self, call: ToolCall) -> Iterator[Any]:
        """A call that the client executes as soon as it sees it done: the response can no longer fail."""
        index = len(self._items)
        item = ResponseFunctionToolCall(
            type="function_call",
            id=self._id("fc", index),
            call_id=call.id,
            name=call.name,
            arguments="",
            status="in_progress",
            **({"namespace": call.namespace} if call.namespace else {}),
        )
        yield self._added(item)
        place: Any = {"item_id": item.id, "output_index": index}
        yield ResponseFunctionCallArgumentsDeltaEvent(
            type="response.function_call_arguments.delta",
            **place,
            delta=call.arguments,
            sequence_number=self._next(),
        )
        yield ResponseFunctionCallArgumentsDoneEvent(
            type="response.function_call_arguments.done",
            **place,
            name=call.name,
            arguments=call.arguments,
            sequence_number=self._next(),
        )
        yield self._item_done(index, item.model_copy(update={"arguments": call.arguments, "status": "completed"}))

    def _open_gateway_call(self, call: ToolCall) -> Iterator[Any]:
        """A call that RANTS executes; on the wire it is one of a server that the client does not have to call."""
        index = len(self._items)
        item = McpCall(
            type="mcp_call",
            id=f"mcp_{call.id}",
            server_label="rants",
            name=call.name,
            arguments=call.arguments,
            status="in_progress",
        )
        yield self._added(item)
        place: Any = {"item_id": item.id, "output_index": index}
        yield ResponseMcpCallInProgressEvent(
            type="response.mcp_call.in_progress", **place, sequence_number=self._next()
        )
        yield ResponseMcpCallArgumentsDeltaEvent(
            type="response.mcp_call_arguments.delta", **place, delta=call.arguments, sequence_number=self._next()
        )
        yield ResponseMcpCallArgumentsDoneEvent(
            type="response.mcp_call_arguments.done", **place, arguments=call.arguments, sequence_number=self._next()
        )

    def _close_gateway_call(self, ran: ToolRan) -> Iterator[Any]:
        index = next(at for at, item in enumerate(self._items) if item.id == f"mcp_{ran.call.id}")
        place: Any = {"item_id": f"mcp_{ran.call.id}", "output_index": index}
        if ran.ok:
            yield ResponseMcpCallCompletedEvent(
                type="response.mcp_call.completed", **place, sequence_number=self._next()
            )
        else:
            yield ResponseMcpCallFailedEvent(type="response.mcp_call.failed", **place, sequence_number=self._next())
        came: dict[str, Any] = {"output": ran.output, "status": "completed"}
        if not ran.ok:
            text = {"type": "text", "text": ran.output}
            error = McpToolExecutionError(type="mcp_tool_execution_error", content=[text])
            came = {"error": error, "status": "failed"}
        yield self._item_done(index, self._items[index].model_copy(update=came))

    def _leave_gateway_calls(self, *, told: bool) -> Iterator[Any]:
        """The run has ended while tools were executed: nothing goes on any more."""
        for index, item in enumerate(self._items):
            if isinstance(item, McpCall) and item.status == "in_progress":
                left = item.model_copy(update={"status": "incomplete", "error": "The run ended before this was done."})
                self._items[index] = left
                if told:
                    yield self._item_done(index, left)

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


def whole(asked: Run | StoredRun, events: Sequence[Event]) -> Answer:
    """The response of a run that has emitted `events`."""
    fold = ResponseFold(asked, begun=bool(events))
    for event in _in_one(events):
        for _ in fold.on(event):
            pass
    return fold.answer()


def _in_one(events: Iterable[Event]) -> Iterator[Event]:
    """The events without heartbeats, text that follows text in one: nobody reads along."""
    text: list[str] = []
    for event in events:
        if isinstance(event, TextDelta):
            text.append(event.text)
        elif not isinstance(event, Heartbeat):
            if text:
                yield TextDelta("".join(text))
                text = []
            yield event
    if text:
        yield TextDelta("".join(text))


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
