"""A run as the store takes it and gives it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from programs.events import Outcome, RunDone, StepDone
from programs.transcript import Message, Transcript, Usage

Status = Literal["queued", "in_progress"] | Outcome


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of a run when it begins.

    Attributes:
        id: its name, unique within the tenant.
        tenant: whose it is.
        model: the name the client asked for.
        created_at: in seconds since the epoch, as all times here.
        request: JSON that is given back as it is; the store does not look inside. What the conversation said does not
            belong here: the transcript keeps that once, this would keep it again each turn.
        transcript: all that the run is given, from the first message on.
        background: nobody waits for it: it begins as `queued`, not as `in_progress`.
        previous: the run it continues, or None.
        session_key: the client's name for the session, or None.
    """

    id: str
    tenant: str
    model: str
    created_at: float
    request: dict[str, Any]
    transcript: Transcript
    background: bool = False
    previous: str | None = None
    session_key: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What is kept of a run when it ends.

    Attributes:
        done: its last event: outcome, text, usage, and why where it went wrong.
        completed_at: in seconds since the epoch.
        seconds: how long it took.
        output: the messages it appended to the transcript.
        steps: its turns of the loop.
        timeline: numbers for whoever replays its events; the store does not look inside.
    """

    done: RunDone
    completed_at: float
    seconds: float
    output: tuple[Message, ...] = ()
    steps: tuple[StepDone, ...] = ()
    timeline: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it is in the store. Until it has ended `completed_at` is None and what follows is empty."""

    id: str
    tenant: str
    session: str
    status: Status
    background: bool
    model: str
    request: dict[str, Any]
    previous: str | None
    created_at: float
    completed_at: float | None
    text: str
    steps: tuple[StepDone, ...]
    timeline: tuple[int, ...]
    reason: str | None
    message: str | None
    usage: Usage
