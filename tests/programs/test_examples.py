"""Trajectories as examples: what was asked and written, as demonstrations that say the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs import RANTS, Backends, Message, Session, Transcript, save_program
from programs.adapter import NativeAdapter
from programs.events import StepDone, Stepped, Trajectory
from programs.examples import examples
from programs.settings import LoopSettings, ModelsSettings
from programs.transcript import Tool, Tools

EDIT = Tool(
    name="edit",
    description="Replaces text.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string"}, "new": {"type": "string"}},
        "required": ["path", "new"],
    },
)
CALL = {"name": "edit", "arguments": {"path": "a.py", "new": {"$block": "NEW"}}}


async def ran(backend: ScriptedBackend, session: Session, mode: str = "auto") -> list[Trajectory]:
    entry = {"base_url": backend.base_url, "model": "scripted", "context_window": 16_000}
    backends = Backends(ModelsSettings.model_validate({"generator": entry}))
    try:
        rants = RANTS(backends, LoopSettings.model_validate({"mode": mode}))
        return [event async for event in rants.run(session) if isinstance(event, Trajectory)]
    finally:
        await backends.aclose()


def told(events: list[Trajectory], session: Session, tools: Tools | None) -> list[dict[str, Any]]:
    """The examples, as they come back from a file."""
    steps = [event for event in events if isinstance(event, Stepped) and event.session == session.id]
    return [json.loads(json.dumps(one)) for one in examples(events, steps, session.transcript, tools)]


def said(example: dict[str, Any]) -> list[tuple[str, str]]:
    """The turns of an example, said as a demonstration."""
    predictor = dict(RANTS().named_predictors())[example["predictor"]]
    _, turns = NativeAdapter().said(predictor.signature, [dspy.Example(**example)], {})
    return [(turn.role, "".join(part.text for part in turn.parts)) for turn in turns]


def asked(backend: ScriptedBackend, number: int, last: int) -> list[tuple[str, str]]:
    """The last messages of a call."""
    return [(one["role"], one["content"]) for one in backend.calls[number].body["messages"][-last:]]


async def test_a_turn_says_what_its_model_was_asked_and_wrote(tmp_path: Path) -> None:
    codes = ["A look.\n```python\nprint(len(context))\n```", "```python\nSUBMIT('Two.')\n```"]
    session = Session.asking("s", "How many?", "One. Two. " * 100)
    with ScriptedBackend(in_turn(*(Reply([code]) for code in codes))) as backend:
        events = await ran(backend, session, "explore")
        shown = told(events, session, None)
        assert [(one["predictor"], one["turn"]) for one in shown] == [("explore.write", 1), ("explore.write", 2)]
        assert said(shown[0]) == [*asked(backend, 0, 1), ("assistant", codes[0])]
        assert said(shown[1]) == [*asked(backend, 1, 3), ("assistant", codes[1])]
    rants = RANTS()
    rants.explore.write.demos = [dspy.Example(**one) for one in shown]
    save_program(rants, tmp_path / "program.json", predictors=["explore.write"], made_by={})
    assert len(RANTS(program=tmp_path / "program.json").explore.write.demos) == 2


async def test_a_step_with_tools_says_what_was_wanted_and_called() -> None:
    text = "Done soon.\nTOOL_INTENT: put block NEW into a.py\n<<<NEW\npass\n\tx\n>>>NEW"
    replies = in_turn(Reply([text]), Reply([json.dumps({"tool_calls": [CALL]})]))
    tools = Tools(client=(EDIT,))
    conversation = Transcript(messages=(Message(role="user", content="Mend a.py."),))
    with ScriptedBackend(replies) as backend:
        session = Session("s", conversation, tools=tools)
        events = await ran(backend, session)
        (step,) = (event for event in events if isinstance(event, StepDone))
        assert json.loads(step.calls[0].arguments)["new"] == "pass\n\tx"
        call, reply = told(events, session, tools)
        assert (call["predictor"], reply["predictor"]) == ("tool_compiler.compile", "direct.act")
        assert said(call) == [*asked(backend, 1, 1), ("assistant", json.dumps({"tool_calls": [CALL]}))]
        predictor = RANTS().direct.act
        system, _ = NativeAdapter().said(predictor.signature, [], {"messages": reply["messages"]})
        assert system == backend.calls[0].body["messages"][0]["content"]
        assert said(reply)[-2:] == [("user", "Mend a.py."), ("assistant", text)]
        assert told(events, session, None) == []


async def test_a_plain_answer_is_told_also_where_the_tools_are_not_known() -> None:
    session = Session.asking("s", "Hello?")
    with ScriptedBackend(in_turn(Reply(["Hello."]), Reply(["Hel"], finish_reason="length"))) as backend:
        (whole,) = told(await ran(backend, session), session, None)
        assert whole["predictor"] == "direct.generate"
        assert said(whole) == [("user", "Hello?"), ("assistant", "Hello.")]
        assert told(await ran(backend, session), session, None) == []
