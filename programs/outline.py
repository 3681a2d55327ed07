"""A trajectory as text, for whoever wants to see what was done with the context.

print(outline(rants(question=..., context=...).trajectory))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from programs.events import (
    CodeRan,
    CodeWritten,
    Concluded,
    ModelCalled,
    SessionOpened,
    StepDone,
    ToolRan,
    ToolStarted,
    Trajectory,
)

_SHOWN = 400  # characters of a prompt, a reply or an observation


def outline(trajectory: Iterable[Trajectory]) -> str:
    """The tree of sessions: turns in order, each with its calls and the sessions that its code opened."""
    return "\n".join("  " * depth + line for depth, event in nested(trajectory) for line in lines(event))


def nested(trajectory: Iterable[Trajectory]) -> Iterator[tuple[int, Trajectory]]:
    """Each event with its depth; what the sessions did that a turn or a tool opened comes before what came of it."""
    events: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for event in trajectory:
        events[event.session].append(event)

    def walk(session: str, depth: int) -> Iterator[tuple[int, Trajectory]]:
        for event in events[session]:
            if isinstance(event, CodeRan | ToolRan):
                opened = f"{session}/{event.turn if isinstance(event, CodeRan) else event.call.id}"
                for child in [name for name in events if _parent(name) == session and _opened_by(opened, name)]:
                    yield from walk(child, depth + 1)
            yield depth, event

    for root in [name for name in events if _parent(name) not in events]:
        yield from walk(root, 0)


def _parent(session: str) -> str:
    return session.rpartition("/")[0]


def _opened_by(opened: str, session: str) -> bool:
    """Whether the id is what was opened, or goes on from it: `.` for one of several, `+` for a later step."""
    return session.startswith(opened) and session[len(opened) : len(opened) + 1] in ("", ".", "+")


def lines(event: Trajectory) -> list[str]:
    """What one event says, a mark before its first line: `?` a session's question, `>` code, `=` what came of it."""
    match event:
        case SessionOpened():
            return _marked("?", f"{_short(event.question)}\n{_short(event.context)}")
        case CodeWritten():
            said = f"turn {event.turn}: {event.reasoning}".rstrip(": ")
            return [*_marked(">", said), *("  " + line for line in event.code.splitlines())]
        case ModelCalled():
            reply = event.reply if event.reply is not None else f"failed: {event.error}"
            return [*_marked("~", _short(event.prompt)), *_marked("<", _short(reply))]
        case CodeRan(answer=None):
            return _marked("=", _short(event.observation))
        case CodeRan():
            return _marked("= submitted:", _short(event.answer or ""))
        case StepDone(intents=()):
            return []  # what it said is the answer
        case StepDone():
            wanted = [f"wants: {_short(intent.text)}" for intent in event.intents]
            made = [f"calls: {call.name} {_short(call.arguments)}" for call in event.calls]
            missed = [f"no call: {_short(event.problem)}"] if event.problem else []
            return _marked(f"step {event.step}:", "\n".join([_short(event.text), *wanted, *made, *missed]))
        case ToolStarted():
            return []
        case ToolRan():
            return _marked(f"{event.call.name}:", _short(event.output))
        case Concluded():
            return _marked(f"= concluded ({event.reason}):", _short(event.answer))


def _marked(mark: str, text: str) -> list[str]:
    first, *rest = text.splitlines() or [""]
    return [f"{mark} {first}", *("  " + line for line in rest)]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} [...] {text[-_SHOWN // 2 :]}"
