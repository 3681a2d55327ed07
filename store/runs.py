"""A run as the store takes it and gives it back. All times are in seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from programs.events import Outcome, RunDone, Stepped
from programs.transcript import Message, Transcript, Usage

if TYPE_CHECKING:
    from store.looking import Spent

Status = Literal["queued", "in_progress"] | Outcome


@dataclass(frozen=True, slots=True)
class Run:
    """What is kept of a run when it begins.

    Attributes:
        id: its name, unique within the tenant.
        tenant: whose it is.
        model: the name that the client asked for.
        created_at: when it began.
        request: JSON that is given back as it is. The store does not look inside, and keeps it for every run: what
            the conversation said belongs in the transcript, which is kept once.
        transcript: all that the run is given, from the first message on.
        background: nobody waits for it; it begins as `queued`, not as `in_progress`.
        previous: the run that it continues, if the client named one.
        session_key: the client's own name for the session, if it has one.
        key: the public id of the API key that asked.

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
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """What is kept of a run when it ends.

    Attributes:
        done: its last event: outcome, text, usage, and what went wrong.
        seconds: how long it took.
        output: the messages that it appended to the transcript.
        steps: its turns of the loop, and the tools that it executed in between.
        timeline: numbers for whoever replays its events; the store does not look inside.
        key: the public id of the API key whose day it is charged to.
        models: what the calls of each model have cost.

    """

    done: RunDone
    seconds: float
    output: tuple[Message, ...] = ()
    steps: tuple[Stepped, ...] = ()
    timeline: tuple[int, ...] = ()
    key: str | None = None
    models: tuple[Spent, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as the store has it.

    Attributes:
        key: the client's own name for it.
        title: what the user said last when it began: the first 200 characters, on one line.
        updated_at: when a run of it began or ended last.
        status: that of its newest run; None where none is left.
        runs: how many it has.
        messages: of its transcript, as its newest finished run left it.
        seconds: that its runs have taken together, from the beginning of each to its end.
        usage: what its runs have cost.
    """

    id: str
    tenant: str
    key: str | None
    title: str
    created_at: float
    updated_at: float
    status: Status | None
    runs: int
    messages: int
    seconds: float
    usage: Usage


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as the store has it. Until it has ended, `completed_at` is None and all that follows is empty.

    Attributes:
        question: what the user said last: the first 200 characters, on one line; empty where that was not kept yet.
    """

    id: str
    tenant: str
    session: str
    key: str | None
    status: Status
    background: bool
    model: str
    request: dict[str, Any]
    question: str
    previous: str | None
    created_at: float
    completed_at: float | None
    text: str
    steps: tuple[Stepped, ...]
    timeline: tuple[int, ...]
    reason: str | None
    message: str | None
    usage: Usage
