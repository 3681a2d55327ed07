"""What is seen of an event at a glance: enough to draw a run of many thousands, without what was said in it."""

from __future__ import annotations

from dataclasses import dataclass

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

_LABEL = 120  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """One event, briefly.

    Attributes:
        number: of the event in its run, counted from 0.
        kind: see `programs.events.Trajectory`.
        session: its id: that of the run, then one part for each session above it.
        place: the turn of code, the step, or the id of the call, that the event belongs to; empty for a session.
        at: when it began, in seconds since the epoch.
        seconds: how long it took.
        prompt: tokens that were read for it.
        completion: tokens that were written.
        cached: of those read, how many the backend knew already.
        failed: it did not do what it was asked to.
        label: a line about it, of at most 120 characters.
    """

    number: int
    kind: str
    session: str
    place: str
    at: float
    seconds: float
    prompt: int
    completion: int
    cached: int
    failed: bool
    label: str


def glance(number: int, event: Trajectory) -> Glance:
    """Look at event `number` of a run."""
    place, said, failed = _about(event)
    return Glance(
        number=number,
        kind=event.kind,
        session=event.session,
        place=place,
        at=event.at,
        seconds=event.seconds,
        prompt=event.usage.prompt,
        completion=event.usage.completion,
        cached=event.usage.cached,
        failed=failed,
        label=_line(said),
    )


def _about(event: Trajectory) -> tuple[str, str, bool]:
    """Where the event belongs, what it says, and whether it failed."""
    match event:
        case SessionOpened(question=question):
            return "", question, False
        case CodeWritten(turn=turn, reasoning=reasoning, code=code, cut=cut):
            return str(turn), reasoning or code, cut or not code
        case ModelCalled(turn=turn, prompt=prompt, reply=reply, error=error):
            return str(turn), f"{prompt[:_LABEL]} → {reply if reply is not None else error}", reply is None
        case CodeRan(turn=turn, observation=observation, answer=answer):
            return str(turn), observation if answer is None else answer, False
        case StepDone(step=step, text=text, intents=intents, problem=problem):
            wanted = intents[0].text if intents else ""
            return str(step), problem or wanted or text, problem is not None
        case ToolStarted(call=call):
            return call.id, f"{call.name} {call.arguments[:_LABEL]}", False
        case ToolRan(call=call, output=output, ok=ok):
            return call.id, f"{call.name} → {output[:_LABEL]}", not ok
        case Concluded(answer=answer, reason=reason):
            return "", f"{reason}: {answer}", False


def _line(text: str) -> str:
    # No more is looked at than could be shown: a text may have a hundred megabytes.
    line = " ".join(text[: 4 * _LABEL].split())
    return line if len(line) <= _LABEL else f"{line[: _LABEL - 1]}…"
