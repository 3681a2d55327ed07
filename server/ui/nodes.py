"""One event of a run: all that was said in it."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, Response

from programs.errors import NotFound
from programs.events import CodeWritten, StepDone, ToolRan, Trajectory
from server.exports import examples_of
from server.ui.excerpts import coloured, excerpt, pretty
from server.ui.places import places_of
from server.ui.rendering import render
from server.ui.runs import Asked, Kept, plain
from server.ui.texts import from_context, texts
from server.ui.trace import glances, happening
from store import Store, StoredRun

_RESULT = 2000  # characters of a tool's result that are shown beside its call

router = APIRouter(prefix="/ui/runs/{run_id}/nodes/{number}")

Number = Annotated[int, Path(ge=0, le=2**31 - 1)]


async def _event(run: Asked, store: Kept, number: Number) -> Trajectory:
    """The event that is asked for.

    Raises:
        NotFound: the run has no such event.
    """
    event = await happening(store, run, number)
    if event is None:
        raise NotFound(f"There is no event {number} in the run {run.id!r}.")
    return event


Opened = Annotated[Trajectory, Depends(_event)]


@router.get("")
async def node(request: Request, run: Asked, store: Kept, number: Number, event: Opened) -> HTMLResponse:
    """What is known of the event, as a part of a page."""
    results = await _results(store, run, number, event) if isinstance(event, StepDone) else {}
    values = {
        "run": run,
        "number": number,
        "event": event,
        "results": results,
        "texts": texts(event),
        "places": bool(from_context(event)),
        "has_example": isinstance(event, StepDone) or (isinstance(event, CodeWritten) and event.code and not event.cut),
        "result_length": _RESULT,
    }
    return await asyncio.to_thread(_fragment, request, "node.html", **values)


def _fragment(request: Request, name: str, **values: Any) -> HTMLResponse:
    return render(request, name, excerpt=excerpt, coloured=coloured, pretty=pretty, **values)


async def _results(store: Store, run: StoredRun, number: int, step: StepDone) -> dict[str, tuple[int, ToolRan]]:
    """What came of a step's calls, by the call: the event's number, and the event."""
    made = {call.id for call in step.calls}
    found: dict[str, tuple[int, ToolRan]] = {}
    after, more = number, bool(made)
    while more and len(found) < len(made):
        page, more = await glances(store, run, after, 10_000)
        for one in page:
            after = one.number
            if one.kind == "tool_ran" and one.session == step.session and one.place in made:
                event = await happening(store, run, one.number)
                if isinstance(event, ToolRan):
                    found[one.place] = one.number, event
    return found


@router.get("/text")
async def text(event: Opened, field: str) -> Response:
    """The whole of one of its texts.

    Raises:
        NotFound: it has none of that name.
    """
    found = texts(event)
    if field not in found:
        raise NotFound(f"There is no text {field!r} in this event: {', '.join(found)}.")
    return plain(found[field])


@router.get("/example")
async def example(run: Asked, store: Kept, event: Opened) -> Response:
    """The event as examples for DSPy, a line each: see `programs.examples`.

    Raises:
        NotFound: it shows none.
    """
    found = await _examples(store, run, event)
    if not found:
        raise NotFound("There is no example of this: not all that a model was told or has said is known.")
    return Response("\n".join(map(json.dumps, found)), media_type="application/jsonl")


@router.get("/shown")
async def shown(request: Request, run: Asked, store: Kept, event: Opened) -> HTMLResponse:
    """What the root LM was shown before it wrote the code, as far as that is known; a part of a page.

    Raises:
        NotFound: nothing is.
    """
    found = await _examples(store, run, event) if isinstance(event, CodeWritten) else []
    if not found:
        raise NotFound("What was shown before this is not known.")
    return await asyncio.to_thread(_fragment, request, "node_shown.html", seen=found[0])


async def _examples(store: Store, run: StoredRun, event: Trajectory) -> list[dict[str, Any]]:
    match event:
        case CodeWritten():
            predictors, turn = {"explore.write"}, event.turn
        case StepDone():
            predictors, turn = {"tool_compiler.compile", "direct.act", "direct.generate"}, event.step
        case _:
            return []
    trajectory = await store.trajectory(run.tenant, run.id)
    return [
        one
        for one in await examples_of(store, run, trajectory)
        if one["predictor"] in predictors and (one["session"], one["turn"]) == (event.session, turn)
    ]


@router.get("/places")
async def places(request: Request, run: Asked, store: Kept, event: Opened) -> HTMLResponse:
    """Where in context C there stands what was said in the event; a part of a page."""
    found = await places_of(store, run, from_context(event))
    return render(request, "node_places.html", run=run, places=found)
