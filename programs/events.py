"""What a run emits. Every wire format, the journal, the terminal and the notebook fold this one stream."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from programs.transcript import FinishReason, ToolIntent, Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text that the user reads. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while and the run is still alive."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """One turn of the loop ended: what the generator said, what it wants done, what that cost."""

    text: str
    intents: tuple[ToolIntent, ...]
    finish_reason: FinishReason
    usage: Usage


Outcome = Literal["completed", "incomplete", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunDone:
    """The last event of every run.

    Attributes:
        outcome: how it ended.
        text: all the text the user was given.
        usage: the sum over the run.
        reason: for `incomplete` and `failed`, why: `max_output_tokens`, `content_filter` or an error's code.
        message: for `failed`, the sentence that explains it.
        at: when, in seconds since the epoch.
    """

    outcome: Outcome
    text: str
    usage: Usage
    reason: str | None = None
    message: str | None = None
    at: float = field(default_factory=time.time)


Event = TextDelta | Heartbeat | StepDone | RunDone
