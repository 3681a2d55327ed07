"""`POST /v1/chat/completions`: a run folded into OpenAI's chat completion objects.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from openai.types import CompletionUsage
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessage,
    ChatCompletionMessageFunctionToolCall,
)
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction
from openai.types.chat.chat_completion_message_function_tool_call import Function
from openai.types.completion_usage import CompletionTokensDetails, PromptTokensDetails
from pydantic import BaseModel, ConfigDict, Field

from programs import Message, Sampling, Transcript, Usage
from programs.errors import BackendUnavailable, InvalidRequest
from programs.events import Heartbeat, RunDone, StepDone, TextDelta
from programs.transcript import ToolCall
from server.auth import Granted, count_call
from server.door import Charged, Door
from server.errors import error_body, sentence, shape
from server.openapi import answers
from server.response_events import mark
from server.runs import LiveRun, Runs
from server.served import served
from server.sse import EventStream, unless_gone
from server.tools import read_tools
from store import Run

router = APIRouter(route_class=Door)

_TEXT = "\N{NULL}"  # stands where the text of a chunk goes: no id or name has it
_FINISH = {"content_filter": "content_filter"}


class Wire(BaseModel):
    """A part of a request: what is known is of the right type, what is not known is accepted."""

    model_config = ConfigDict(strict=True, extra="allow")


class ToolFunction(Wire):
    """The function of a tool call."""

    name: str = Field(min_length=1)
    arguments: str


class ChatToolCall(Wire):
    """A call that the assistant made earlier in the conversation."""

    id: str = Field(min_length=1)
    function: ToolFunction


class ChatMessage(Wire):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: str | None = None


class StreamOptions(Wire):
    """How a stream ends."""

    include_usage: bool | None = None


class JSONSchema(Wire):
    """The schema that a reply must fit."""

    name: str = Field(min_length=1)
    json_schema: dict[str, Any] = Field(alias="schema", default={})
    strict: bool | None = None


class ResponseFormat(Wire):
    """Text, any JSON, or JSON that fits a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchema | None = None


class ChatRequest(Wire):
    """The body of the request. Only `n: 1` is served."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop: Annotated[str, Field(min_length=1)] | list[Annotated[str, Field(min_length=1)]] | None = None
    n: Literal[1] | None = None
    seed: int | None = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    user: str | None = None

    def transcript(self, *, sees: bool) -> Transcript:
        """The conversation in canonical form; `sees` is whether somebody can look at images."""
        return Transcript(
            messages=tuple(
                Message.read(message.model_dump(), param=f"messages[{index}]", sees=sees)
                for index, message in enumerate(self.messages)
            )
        )

    def sampling(self) -> Sampling:
        """How the reply is to be sampled."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=stop,
            seed=self.seed,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            response_format=None if self.response_format is None else constraint(self.response_format),
        )


def constraint(wanted: ResponseFormat) -> dict[str, Any] | None:
    """The format in chat completions' shape, or None for text.

    Raises:
        InvalidRequest: a schema is asked for and none is given.
    """
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    if wanted.json_schema is None:
        raise InvalidRequest(
            "response_format.json_schema is missing: give the schema that the reply must fit.",
            param="response_format.json_schema",
        )
    described = wanted.json_schema
    return {
        "type": "json_schema",
        "json_schema": {"name": described.name, "schema": described.json_schema, "strict": described.strict},
    }


@router.post(
    "/v1/chat/completions",
    response_model=None,
    responses=answers(ChatCompletion, 400, 401, 404, 413, 415, 429, 502, 503, 504, stream=True),
)
async def create(request: Request, body: ChatRequest, grant: Granted, cost: Charged) -> Response:
    """Answer a conversation, whole or as a stream of chunks."""
    served(request, grant, body.model)
    tools = await asyncio.to_thread(read_tools, body.tools, body.tool_choice, body.parallel_tool_calls)
    runs: Runs = request.app.state.runs
    asked = Run(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        tenant=grant.tenant,
        model=body.model,
        background=False,
        created_at=time.time(),
        request={},
        previous=None,
        session_key=request.headers.get("x-session-id"),
        key=grant.key,
        transcript=body.transcript(sees=request.app.state.sees),
    )
    await count_call(request, grant)
    run = await runs.start(asked, body.sampling(), tools, cost, kept=body.store is not False)
    try:
        if body.stream:
            await unless_gone(request, run.begun())
            include_usage = bool(body.stream_options and body.stream_options.include_usage)
            return EventStream(_frames(run, include_usage), hung_up=run.cancel)
        done = await unless_gone(request, run.finished())
        if (failure := _failure(run, done)) is not None:
            raise failure
    except BaseException:
        run.cancel()
        raise
    completion = _completion(run, done)
    return Response(completion.model_dump_json(exclude_unset=True), media_type="application/json")


def _completion(run: LiveRun, done: RunDone) -> ChatCompletion:
    calls = [_tool_call(call) for call in done.calls]
    message = ChatCompletionMessage(
        role="assistant",
        content=done.text if done.text or not calls else None,
        refusal=None,
        **({"tool_calls": calls} if calls else {}),
    )
    choice = Choice(index=0, message=message, logprobs=None, finish_reason=_finish_reason(done))
    return ChatCompletion(
        id=run.asked.id,
        object="chat.completion",
        created=int(run.asked.created_at),
        model=run.asked.model,
        choices=[choice],
        usage=_usage(done.usage),
        **mark(done),
    )


async def _frames(run: LiveRun, include_usage: bool) -> AsyncGenerator[bytes]:
    """The chunks of a stream, each as one server-sent event."""
    base: dict[str, Any] = {
        "id": run.asked.id,
        "object": "chat.completion.chunk",
        "created": int(run.asked.created_at),
        "model": run.asked.model,
    }
    # With include_usage every chunk has the key, and only the last one a value.
    if include_usage:
        base["usage"] = None

    def chunk(delta: ChoiceDelta, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = ChunkChoice(index=0, delta=delta, logprobs=None, finish_reason=finish_reason)
        return _frame(ChatCompletionChunk(**base, choices=[choice], **more))

    yield chunk(ChoiceDelta(role="assistant", content=""))
    # Chunks of text differ in nothing but the text: what is around it is made once, not for each token.
    before, after = chunk(ChoiceDelta(content=_TEXT)).split(json.dumps(_TEXT).encode())
    said, step_over = False, False
    async for event in run.follow():
        match event:
            case TextDelta(text):
                # What the steps of a run say is one text here, as in `RunDone`.
                if step_over and said:
                    text = f"\n\n{text}"
                said, step_over = True, False
                yield before + json.dumps(text, ensure_ascii=False).encode() + after
            case StepDone():
                step_over = True
            case Heartbeat():
                yield b": keep-alive\n\n"
            case RunDone() as done:
                if (failure := _failure(run, done)) is not None:
                    found = shape(failure)
                    error = error_body(sentence(failure), found.type, code=found.code)
                    yield b"data: " + json.dumps(error).encode() + b"\n\n"
                    return
                for index, call in enumerate(done.calls):
                    begun = ChoiceDeltaToolCallFunction(name=call.name, arguments="")
                    yield chunk(_call_delta(index, begun, id=call.id, type="function"))
                    yield chunk(_call_delta(index, ChoiceDeltaToolCallFunction(arguments=call.arguments)))
                yield chunk(ChoiceDelta(), _finish_reason(done), **mark(done))
                if include_usage:
                    usage = {**base, "usage": _usage(done.usage)}
                    yield _frame(ChatCompletionChunk(**usage, choices=[]))
    yield b"data: [DONE]\n\n"


def _tool_call(call: ToolCall) -> ChatCompletionMessageFunctionToolCall:
    function = Function(name=call.name, arguments=call.arguments)
    return ChatCompletionMessageFunctionToolCall(id=call.id, type="function", function=function)


def _call_delta(index: int, function: ChoiceDeltaToolCallFunction, **more: Any) -> ChoiceDelta:
    return ChoiceDelta(tool_calls=[ChoiceDeltaToolCall(index=index, function=function, **more)])


def _failure(run: LiveRun, done: RunDone) -> BaseException | None:
    """Why there is no whole answer. Chat has no word for `cancelled`; what a client waits for only a stop cancels."""
    if done.outcome == "cancelled":
        return BackendUnavailable("The server is stopping. Ask again.", backend="generator")
    return run.failure


def _finish_reason(done: RunDone) -> str:
    if done.calls:
        return "tool_calls"
    return "stop" if done.outcome == "completed" else _FINISH.get(done.reason or "", "length")


def _usage(usage: Usage) -> CompletionUsage:
    return CompletionUsage(
        prompt_tokens=usage.prompt,
        completion_tokens=usage.completion,
        total_tokens=usage.prompt + usage.completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=usage.cached),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=0),
    )


def _frame(chunk: ChatCompletionChunk) -> bytes:
    return b"data: " + chunk.model_dump_json(exclude_unset=True).encode() + b"\n\n"
