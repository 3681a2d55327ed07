"""Runs that end while a gateway tool is executed leave nothing in progress."""

from __future__ import annotations

import pytest

from programs import Transcript, Usage
from programs.events import Outcome, RunDone, ToolRan, ToolStarted
from programs.transcript import ToolCall
from server.response_events import ResponseFold
from server.responses import ResponsesRequest
from store import Run

CALL, OTHER = (ToolCall(id=name, name="bash", arguments="{}") for name in ("c1", "c2"))


@pytest.mark.parametrize(
    ("outcome", "ended"), [("incomplete", ["c2"]), ("cancelled", ["c2"]), ("failed", []), ("completed", ["c2"])]
)
def test_a_call_that_was_cut_off_is_incomplete(outcome: Outcome, ended: list[str]) -> None:
    asked = Run(
        id="resp_1",
        tenant="ada",
        model="rants-one",
        background=False,
        created_at=1.0,
        request={"echo": ResponsesRequest(input="Go.").echo({})},
        previous=None,
        session_key=None,
        transcript=Transcript(),
    )
    fold = ResponseFold(asked)
    list(fold.opening())
    for event in (
        ToolStarted("resp_1", 1, CALL, 1.0),
        ToolStarted("resp_1", 1, OTHER, 1.0),
        ToolRan("resp_1", 1, CALL, "done", True, {}, 1.0, 0.5),
    ):
        list(fold.on(event))
    last = list(fold.on(RunDone(outcome, "", Usage())))
    done = [event.item.id for event in last if event.type == "response.output_item.done"]
    assert done == [f"mcp_{name}" for name in ended]
    first, second = fold.answer().output
    assert (first.type, second.type) == ("mcp_call", "mcp_call")
    assert [item.status for item in (first, second) if item.type == "mcp_call"] == ["completed", "incomplete"]
