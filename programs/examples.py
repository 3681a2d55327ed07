"""What real runs show: their trajectories as examples for DSPy, each usable as a demonstration of its predictor.

    for line in Path("examples.jsonl").read_text().splitlines():
        example = dspy.Example(**json.loads(line))

A trajectory does not tell everything that a model was told, and nothing is made up here:

- of an exploration's turns (`explore.write`) the question is there, and not the other messages that were shown with
  it; older observations are whole, also where they had been shortened to save room;
- calls (`tool_compiler.compile`) are told where a step wanted one thing and got it, and the tools are known;
- replies (`direct.generate`, `direct.act`) are told where they were whole, and written by the generator itself: after
  an exploration they were not. Where the tools are not known, only those of conversations without any.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from programs.events import CodeRan, CodeWritten, SessionOpened, StepDone, Stepped, Trajectory, messages_of
from programs.likeness import likely
from programs.prompt import told
from programs.retelling import retold
from programs.tool_compiler import asked, shortlist
from programs.tool_outline import telling
from programs.transcript import Session, Tools, Transcript

_TOOLS_ROOM = 2700  # tokens that the tools take in a call's example: what a window of 8192 would leave them


def examples(
    trajectory: Sequence[Trajectory], steps: Iterable[Stepped], given: Transcript, tools: Tools | None
) -> Iterator[dict[str, Any]]:
    """The examples of a run: fields of a signature, and `predictor`, `session` and `turn` that say what they are of.

    Args:
        trajectory: what it did with its context, in order.
        steps: of its root session, in order.
        given: what was said to it.
        tools: what it was offered; None where that is not known.
    """
    yield from _turns(trajectory)
    opened = {event.session for event in trajectory if isinstance(event, SessionOpened)}
    done: list[Stepped] = []
    for step in steps:
        if isinstance(step, StepDone):
            # After a first step, a call is no longer insisted on.
            offered = tools if tools is None or step.step == 1 else tools.model_copy(update={"choice": "auto"})
            session = Session(step.session, given.append(*messages_of(done)), tools=offered or Tools())
            yield from _calls(step, session)
            if (step.session if step.step == 1 else f"{step.session}+{step.step}") not in opened:
                yield from _reply(step, session, known=tools is not None)
        done.append(step)


def _turns(events: Iterable[Trajectory]) -> Iterator[dict[str, Any]]:
    """The turns of each exploration, also of child sessions."""
    opened: dict[str, SessionOpened] = {}
    history: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    printed: defaultdict[str, str] = defaultdict(str)
    for event in events:
        name = event.session
        match event:
            case SessionOpened():
                opened[name] = event
            case CodeWritten(code=code, cut=cut) if name in opened:
                if code and not cut:
                    yield {
                        **_marked("explore.write", name, event.turn),
                        "messages": [{"role": "user", "content": opened[name].question}],
                        "context": opened[name].context,
                        "history": {"messages": list(history[name])},
                        "observation": printed[name],
                        "budget": event.budget,
                        "reasoning": event.reasoning,
                        "code": code,
                    }
                history[name].append(told(event, printed[name]))
            case CodeRan(observation=observation):
                printed[name] = observation


def _calls(step: StepDone, session: Session) -> Iterator[dict[str, Any]]:
    """What a step wanted, and the calls that came of it."""
    known = {tool.name for tool in session.tools.offered}
    if len(step.intents) != 1 or step.problem or not step.calls or not {call.name for call in step.calls} <= known:
        return
    (intent,) = step.intents
    shown = shortlist(intent.text, session.tools.offered, _TOOLS_ROOM)
    calls = [[call.name, _referring(json.loads(call.arguments), intent.blocks)] for call in step.calls]
    yield {
        **_marked("tool_compiler.compile", step.session, step.step),
        **asked(intent, shown, session.transcript.messages),
        "likely": likely(intent.text, shown),
        "tool_calls": calls,
    }


def _reply(step: StepDone, session: Session, *, known: bool) -> Iterator[dict[str, Any]]:
    """What the generator said in a step."""
    said = session.transcript.messages
    worked = bool(step.intents) or any(one.role == "tool" or one.tool_calls or one.intents for one in said)
    if step.finish_reason != "stop" or not (step.text or step.intents) or (worked and not known):
        return
    if any(message.images for message in said):
        return  # nobody has kept what was seen in them
    yield {
        **_marked("direct.act" if session.tools.offered else "direct.generate", step.session, step.step),
        "messages": retold(telling(session).transcript.messages),
        "text": step.text,
        "tool_intents": [intent.model_dump() for intent in step.intents],
    }


def _marked(predictor: str, session: str, turn: int) -> dict[str, Any]:
    return {"predictor": predictor, "session": session, "turn": turn}


def _referring(value: Any, blocks: Mapping[str, str]) -> Any:
    """The arguments as the compiler writes them: a block is named, and not copied."""
    match value:
        case str():
            return next(({"$block": name} for name, text in blocks.items() if text and text == value), value)
        case dict():
            return {key: _referring(one, blocks) for key, one in value.items()}
        case list():
            return [_referring(one, blocks) for one in value]
    return value
