"""`/v1/responses`: asking, and reading back, cancelling, deleting and re-joining what was asked.

Source: https://platform.openai.com/docs/api-reference/responses and the Open Responses specification.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from programs import Sampling, Transcript
from programs.errors import InvalidRequest, NotFound
from programs.events import Event
from programs.schemas import deeper_than
from server import elsewhere
from server.auth import Granted, Tenant, count_call
from server.body import JSONRoute
from server.chat import JSONSchema, ResponseFormat, Wire, constraint
from server.door import Charged, Door
from server.gateway import Gateway
from server.items import items_of, read_input, word
from server.openapi import answers
from server.response_events import Answer, ResponseFold, whole
from server.runs import LiveRun, Runs, replay, told
from server.served import served
from server.settings import Settings
from server.sse import EventStream, unless_gone
from server.tools import read_tools
from server.wire import InputItems, ResponseAnswer, ResponseDeleted
from store import Run, Store, StoredRun

router = APIRouter(route_class=JSONRoute)
_starting = APIRouter(route_class=Door)

_PREFIX = "resp_"
_DEEPEST = 128  # levels of what a response repeats of its request
_OF_RESPONSE = re.compile(r"(?:msg|fc)_([0-9a-f]{32})\d*")  # an item's id tells whose it is


class TextFormat(Wire):
    """Text, any JSON, or JSON that fits a schema."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    json_schema: dict[str, Any] | None = Field(alias="schema", default=None)
    strict: bool | None = None


class TextConfig(Wire):
    """How the text is to look."""

    format: TextFormat | None = None


class ResponsesRequest(Wire):
    """The body of the request. Input items may come without `id` and `type`, as some clients send them."""

    model: str | None = None
    input: str | list[dict[str, Any]] = Field(default=[])
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    stream: bool | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    previous_response_id: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    text: TextConfig | None = None
    include: list[str] | None = None
    background: bool | None = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    reasoning: dict[str, Any] | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    top_logprobs: int | None = None
    max_tool_calls: int | None = None

    def sampling(self) -> Sampling:
        """How the reply is to be sampled.

        Raises:
            InvalidRequest: a schema is asked for and none is given.
        """
        wanted = self.text.format if self.text and self.text.format else TextFormat(type="text")
        schema = None
        if wanted.type == "json_schema":
            if wanted.json_schema is None:
                raise InvalidRequest(
                    "text.format.schema is missing: give the schema that the reply must fit.",
                    param="text.format.schema",
                )
            schema = JSONSchema(name=wanted.name or "reply", schema=wanted.json_schema, strict=wanted.strict)
        return Sampling(
            max_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            response_format=constraint(ResponseFormat(type=wanted.type, json_schema=schema)),
        )

    def echo(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """What the response object repeats of the request; `defaults` are the generator's own parameters."""
        said = self.model_dump(by_alias=True)

        def effective(name: str, otherwise: float) -> Any:
            return next(value for value in (said.get(name), defaults.get(name), otherwise) if value is not None)

        return {
            "instructions": self.instructions,
            "metadata": self.metadata or {},
            "tools": self.tools or [],
            "tool_choice": "auto" if self.tool_choice is None else self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "temperature": effective("temperature", 1.0),
            "top_p": effective("top_p", 1.0),
            "presence_penalty": effective("presence_penalty", 0.0),
            "frequency_penalty": effective("frequency_penalty", 0.0),
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "previous_response_id": self.previous_response_id,
            "text": {
                "format": {"type": "text"},
                **{key: value for key, value in (said["text"] or {}).items() if value},
            },
            "reasoning": self.reasoning,
            "truncation": self.truncation or "disabled",
            "background": bool(self.background),
            "store": self.store is not False,
            "service_tier": self.service_tier or "default",
            "safety_identifier": self.safety_identifier,
            "prompt_cache_key": self.prompt_cache_key,
            "top_logprobs": self.top_logprobs or 0,
            "user": self.user,
        }


@_starting.post(
    "/v1/responses",
    response_model=None,
    responses=answers(ResponseAnswer, 400, 401, 404, 413, 415, 429, 502, 503, 504, stream=True),
)
async def create(request: Request, body: ResponsesRequest, grant: Granted, cost: Charged) -> Response:
    """Answer, whole or streamed, now or in the background."""
    name: str = request.app.state.settings.rlm.rants_one.name
    served(request, grant, body.model if body.model is not None else name)
    gateway: Gateway = request.app.state.gateway
    if body.tools or gateway.always:
        await gateway.started()
    ours = gateway.offered(request, grant)
    tools = await asyncio.to_thread(
        read_tools, body.tools, body.tool_choice, body.parallel_tool_calls, gateway=ours, always=gateway.always
    )
    if body.background and body.store is False:
        raise InvalidRequest(
            "A background response has to be stored: leave out store, or set it to true.", param="store"
        )
    settings: Settings = request.app.state.settings
    sampling = body.sampling()
    echo = body.echo(settings.models.generator.parameters)
    if deeper_than(echo, _DEEPEST):
        raise InvalidRequest(f"The request is nested deeper than {_DEEPEST} levels.")
    asked = {
        "echo": echo,
        "sampling": sampling.model_dump(mode="json", exclude_defaults=True),
        **({"tools": tools.model_dump(mode="json")} if body.background else {}),
    }
    conversation = await _conversation(request, body, grant.tenant)
    await count_call(request, grant)
    run = await _runs(request).start(
        Run(
            id=f"{_PREFIX}{uuid.uuid4().hex}",
            tenant=grant.tenant,
            model=name,
            background=bool(body.background),
            created_at=time.time(),
            request=asked,
            previous=body.previous_response_id,
            session_key=request.headers.get("x-session-id"),
            key=grant.key,
            transcript=conversation,
        ),
        sampling,
        tools,
        cost,
        instructions=body.instructions,
        kept=body.store is not False,
    )
    if body.background:
        if body.stream:
            return EventStream(_frames(run.asked, run.follow()), hung_up=_nothing)
        return _object(whole(run.asked, ()))
    try:
        if body.stream:
            await unless_gone(request, run.begun())
            return EventStream(_frames(run.asked, run.follow()), hung_up=run.cancel)
        await unless_gone(request, run.finished())
    except BaseException:
        run.cancel()
        raise
    return _object(whole(run.asked, run.events))


router.include_router(_starting)


@router.get(
    "/v1/responses/{response_id}",
    response_model=None,
    responses=answers(ResponseAnswer, 400, 401, 404, 503, stream=True),
)
async def get(
    request: Request,
    response_id: str,
    tenant: Tenant,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """Read a response back; with `stream`, join its events after number `starting_after`."""
    live = _live(request, tenant, response_id)
    if live is not None:
        if stream:
            return EventStream(_frames(live.asked, live.follow(), after=starting_after), hung_up=_nothing)
        return _object(whole(live.asked, live.events))
    stored = await _kept(request, tenant, response_id)
    if stored.completed_at is None:
        if stream:
            return EventStream(_frames_from_elsewhere(request, stored, after=starting_after), hung_up=_nothing)
        steps = await _store(request).trajectory(tenant, response_id)
        return _object(whole(stored, told(response_id, steps)))
    if stream:
        events = _each(replay(stored))
        return EventStream(_frames(stored, events, after=starting_after), hung_up=_nothing)
    return _object(whole(stored, replay(stored)))


@router.delete("/v1/responses/{response_id}", response_model=None, responses=answers(ResponseDeleted, 401, 404, 503))
async def delete(request: Request, response_id: str, tenant: Tenant) -> JSONResponse:
    """Forget a response; one that is still running is cancelled first."""
    if live := _live(request, tenant, response_id):
        await _stop(live)
    elif (stored := await _stored(request, tenant, response_id)) is not None and stored.completed_at is None:
        await _stop_elsewhere(request, stored)
    if not response_id.startswith(_PREFIX) or not await _store(request).delete(tenant, response_id):
        raise _missing(response_id)
    return JSONResponse({"id": response_id, "object": "response", "deleted": True})


@router.post(
    "/v1/responses/{response_id}/cancel",
    response_model=None,
    responses=answers(ResponseAnswer, 400, 401, 404, 503),
)
async def cancel(request: Request, response_id: str, tenant: Tenant) -> Response:
    """Stop a background response; one that is over is returned as it is."""
    live = _live(request, tenant, response_id)
    if live is not None:
        if not live.asked.background:
            raise InvalidRequest("Only a background response can be cancelled by its id.", param="response_id")
        await _stop(live)
        return _object(whole(live.asked, live.events))
    stored = await _kept(request, tenant, response_id)
    if not stored.background:
        raise InvalidRequest("Only a background response can be cancelled by its id.", param="response_id")
    if stored.completed_at is None:
        stored = await _stop_elsewhere(request, stored)
    return _object(whole(stored, replay(stored) if stored.completed_at is not None else ()))


@router.get(
    "/v1/responses/{response_id}/input_items",
    response_model=None,
    responses=answers(InputItems, 400, 401, 404, 503),
)
async def input_items(
    request: Request,
    response_id: str,
    tenant: Tenant,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> dict[str, Any]:
    """What the response was given, a page at a time: the whole conversation, newest first unless asked otherwise."""
    live = _live(request, tenant, response_id)
    if live is not None:
        transcript = live.asked.transcript
    else:
        await _kept(request, tenant, response_id)
        transcript = await _store(request).transcript(tenant, response_id, output=False)
    items = list(items_of(transcript))
    if order == "desc":
        items.reverse()
    if after is not None:
        position = next((index for index, item in enumerate(items) if item["id"] == after), None)
        if position is None:
            raise NotFound(f"The response has no input item {after!r}.", param="after")
        items = items[position + 1 :]
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


async def _conversation(request: Request, body: ResponsesRequest, tenant: str) -> Transcript:
    """What was said before and what is said now.

    Raises:
        NotFound: there is no such previous response.
        InvalidRequest: it is still being written, or nothing at all is said.
    """
    said = read_input(await _resolved(request, body.input, tenant), sees=request.app.state.sees)
    if body.previous_response_id is None:
        if not said and not body.instructions:
            raise InvalidRequest("input is missing: say something.", param="input", code="missing_required_parameter")
        return Transcript(messages=said)
    previous = body.previous_response_id
    stored = await _stored(request, tenant, previous)
    if _live(request, tenant, previous) is not None or (stored is not None and stored.completed_at is None):
        raise InvalidRequest(f"Response {previous!r} is still being written.", param="previous_response_id")
    if stored is None:
        raise NotFound(
            f"Previous response with id {previous!r} not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    before = await _store(request).transcript(tenant, previous, output=True)
    return before.append(*said)


async def _resolved(request: Request, given: str | list[dict[str, Any]], tenant: str) -> str | list[dict[str, Any]]:
    """The input, with the item itself wherever an item of a stored response is referred to by its id.

    Raises:
        InvalidRequest: there is no such item.
    """
    if isinstance(given, str):
        return given
    answers: dict[str, list[Any]] = {}
    items = []
    for index, item in enumerate(given):
        if item.get("type") == "item_reference":
            name = word(item, "id", f"input[{index}]")
            if name.startswith("mcp_"):
                continue  # as a call of RANTS's own is left out that is sent whole
            of = _OF_RESPONSE.fullmatch(name)
            response = f"{_PREFIX}{of[1]}" if of else ""
            if response not in answers:
                answers[response] = await _output(request, response, tenant)
            found = next((one for one in answers[response] if one.id == name), None)
            if found is None:
                raise InvalidRequest(f"Item with id {name!r} not found: send the item itself.", param=f"input[{index}]")
            items.append(found.model_dump(mode="json"))
        else:
            items.append(item)
    return items


async def _output(request: Request, response_id: str, tenant: str) -> list[Any]:
    """The items of a response; none where there is no such response."""
    if (live := _live(request, tenant, response_id)) is not None:
        return whole(live.asked, live.events).output
    stored = await _stored(request, tenant, response_id)
    return whole(stored, replay(stored)).output if stored is not None and stored.completed_at is not None else []


async def _kept(request: Request, tenant: str, response_id: str) -> StoredRun:
    """A response that is over, from the store.

    Raises:
        NotFound: there is none of that id, or it is another tenant's.
    """
    stored = await _stored(request, tenant, response_id)
    if stored is None:
        raise _missing(response_id)
    return stored


# A chat completion is a run, too, but it is no response: the prefix of the id says which.


def _live(request: Request, tenant: str, response_id: str) -> LiveRun | None:
    return _runs(request).get(tenant, response_id) if response_id.startswith(_PREFIX) else None


async def _stored(request: Request, tenant: str, response_id: str) -> StoredRun | None:
    return await _store(request).run(tenant, response_id) if response_id.startswith(_PREFIX) else None


async def _stop(live: LiveRun) -> None:
    live.cancel()
    await live.ended()


async def _stop_elsewhere(request: Request, stored: StoredRun) -> StoredRun:
    """Have the process that writes a response cancel it; one that is dead is first replaced by one that lives.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    within = 2 * request.app.state.settings.state.lease_seconds
    ended = await elsewhere.cancelled(_store(request), stored, within=within)
    if ended is None:
        raise _missing(stored.id)
    return ended


async def _frames_from_elsewhere(request: Request, stored: StoredRun, *, after: int | None) -> AsyncGenerator[bytes]:
    """The stream of a response that another process writes: how it begins, and when it has ended there, the rest."""
    last = -1
    for event in ResponseFold(stored).opening():
        last = event.sequence_number
        if after is None or last > after:
            yield _frame(event)
    waiting = elsewhere.arrival(
        _store(request), _runs(request), stored, heartbeat=request.app.state.settings.server.keep_alive_seconds
    )
    async with aclosing(waiting):
        async for _ in waiting:
            # A comment: an event would have to have a number, and numbers are the same whenever a stream is joined.
            yield b": another process is writing\n\n"
    after = last if after is None else max(last, after)
    if (live := _live(request, stored.tenant, stored.id)) is not None:
        rest = _frames(live.asked, live.follow(), after=after)
    elif (ended := await _stored(request, stored.tenant, stored.id)) is not None:
        rest = _frames(ended, _each(replay(ended)), after=after)
    else:
        return
    async with aclosing(rest):
        async for frame in rest:
            yield frame


async def _frames(
    asked: Run | StoredRun, events: AsyncIterable[Event], *, after: int | None = None
) -> AsyncGenerator[bytes]:
    """A run's events as server-sent events, from number `after` + 1 on."""
    fold = ResponseFold(asked)
    for event in fold.opening():
        if after is None or event.sequence_number > after:
            yield _frame(event)
    async for happened in events:
        for event in fold.on(happened):
            if after is None or event.sequence_number > after:
                yield _frame(event)


def _frame(event: Any) -> bytes:
    data = event.model_dump_json(exclude_unset=True, warnings=False, serialize_as_any=True)
    return f"event: {event.type}\ndata: {data}\n\n".encode()


def _object(answer: Answer) -> Response:
    return Response(answer.model_dump_json(exclude_unset=True, warnings=False), media_type="application/json")


async def _each(events: list[Event]) -> AsyncGenerator[Event]:
    for event in events:
        yield event


def _missing(response_id: str) -> NotFound:
    return NotFound(f"Response with id {response_id!r} not found.", param="response_id", code="response_not_found")


def _nothing() -> None:
    """A client that only listens may leave; the run goes on."""


def _runs(request: Request) -> Runs:
    runs: Runs = request.app.state.runs
    return runs


def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store
