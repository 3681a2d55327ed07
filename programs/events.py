"""What a run emits. Every wire format, the journal, the terminal and the notebook fold this one stream."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from programs.transcript import FinishReason, Message, ToolCall, ToolIntent, Usage


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the text that the user reads. Never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while and the run is still alive."""


Outcome = Literal["completed", "incomplete", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunDone:
    """The last event of every run.

    Attributes:
        outcome: how it ended.
        text: all the text the user was given.
        usage: the sum over the run.
        reason: for `incomplete` and `failed`, why: `max_output_tokens`, `content_filter`, the part of the budget that
            was spent (`budget_...`) or an error's code. For `completed`, what ended the exploration early, a part of
            the budget or `no_progress`: the text is then the best answer so far.
        message: for `failed`, the sentence that explains it.
        at: when, in seconds since the epoch.
        calls: those of the client's tools that the last step made: the run goes on when their results are sent.
    """

    outcome: Outcome
    text: str
    usage: Usage
    reason: str | None = None
    message: str | None = None
    at: float = field(default_factory=time.time)
    calls: tuple[ToolCall, ...] = ()


# The events of a trajectory say when they began (`at`, in seconds since the epoch), how long they took (`seconds`), and
# what they cost (`usage`). Their usages add up to the run's.


@dataclass(frozen=True, slots=True)
class StepDone:
    """One turn of the loop ended: what the generator said, what it wants done, and the calls that this compiled to.

    Attributes:
        session: its id.
        step: counted from 1 in each run.
        text: what the user was given.
        intents: what is wanted.
        calls: of gateway tools, which are executed next, and of client tools, which end the run.
        problem: why there are no calls, in words for the generator, where something is wanted.
        usage: what is not told by the other events of the step.
    """

    session: str
    step: int
    text: str
    intents: tuple[ToolIntent, ...]
    calls: tuple[ToolCall, ...]
    problem: str | None
    finish_reason: FinishReason
    reason: str | None
    usage: Usage
    at: float
    seconds: float
    kind: Literal["step_done"] = "step_done"


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A gateway tool is about to be executed. Written down first: what was started is never started again."""

    session: str
    step: int
    call: ToolCall
    at: float
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    kind: Literal["tool_started"] = "tool_started"


@dataclass(frozen=True, slots=True)
class ToolRan:
    """A gateway tool has been executed.

    Attributes:
        output: what the generator reads of it.
        ok: whether it did what it was asked to.
        details: the same for programs.
    """

    session: str
    step: int
    call: ToolCall
    output: str
    ok: bool
    details: dict[str, Any]
    at: float
    seconds: float
    usage: Usage = field(default_factory=Usage)
    kind: Literal["tool_ran"] = "tool_ran"


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A session of the tree begins to explore its context. Its parent is what its `session` begins with.

    Attributes:
        session: its id.
        depth: how many sessions are above it.
        question: what it is to answer.
        context: what its context is: type, size, structure, beginning and end.
    """

    session: str
    depth: int
    question: str
    context: str
    at: float
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    kind: Literal["session_opened"] = "session_opened"


@dataclass(frozen=True, slots=True)
class CodeWritten:
    """The root LM has written the code of a turn.

    Attributes:
        turn: counted from 1 in each session.
        budget: what it was told of the budget that is left.
        reasoning: its words before the code.
        code: Python; empty where its reply held none.
        cut: the reply was longer than it may be, and the code may not be whole.
    """

    session: str
    turn: int
    budget: str
    reasoning: str
    code: str
    cut: bool
    usage: Usage
    at: float
    seconds: float
    kind: Literal["code_written"] = "code_written"


@dataclass(frozen=True, slots=True)
class ModelCalled:
    """The code of a turn has called the sub-LM.

    Attributes:
        turn: 0 where the session is a child that is answered by this one call, without code.
        reply: what it answered; None where it failed.
        error: why, if it failed.
    """

    session: str
    turn: int
    prompt: str
    reply: str | None
    error: str | None
    usage: Usage
    at: float
    seconds: float
    kind: Literal["model_called"] = "model_called"


@dataclass(frozen=True, slots=True)
class CodeRan:
    """The environment has run the code of a turn.

    Attributes:
        observation: what the root LM is shown of it.
        answer: what it submitted, as the text that is read; None where it did not.
        fresh: what earlier turns had defined was lost.
    """

    session: str
    turn: int
    observation: str
    answer: str | None
    fresh: bool
    at: float
    seconds: float
    usage: Usage = field(default_factory=Usage)
    kind: Literal["code_ran"] = "code_ran"


@dataclass(frozen=True, slots=True)
class Concluded:
    """A session's budget has ended, and a last call gave the best answer so far.

    Attributes:
        reason: which part of the budget: see `BudgetSpent.what`.
    """

    session: str
    answer: str
    reason: str
    usage: Usage
    at: float
    seconds: float
    kind: Literal["concluded"] = "concluded"


Exploration = SessionOpened | CodeWritten | ModelCalled | CodeRan | Concluded
"""What clients never see and whoever runs RANTS may: the exploration of context C."""

Stepped = StepDone | ToolStarted | ToolRan
"""How the loop went on, from one step to the next."""

Trajectory = Exploration | Stepped
"""What a run did. Recorded as it happens, it is what a run is resumed from: see `programs.recorded`."""


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """A call of a model is over, whatever it was made for.

    Attributes:
        role: who was asked: see `programs.backends.Role`.
        model: its name.
        outcome: `ok`, the class of the error, or `cancelled`: it was cut off.
        usage: what it cost. The events of the trajectory tell the same tokens, and the run's usage is the sum of those.
        seconds: how long it took, without waiting for its turn.
    """

    role: str
    model: str
    outcome: str
    usage: Usage
    seconds: float


@dataclass(frozen=True, slots=True)
class EnvironmentOpened:
    """An environment was opened, or could not be: `ok` says which. It took so many `seconds`."""

    ok: bool
    seconds: float


Measured = ModelAnswered | EnvironmentOpened
"""What only whoever measures wants to know. It is neither written down nor shown."""

Event = TextDelta | Heartbeat | RunDone | Trajectory | Measured


def messages_of(events: Iterable[object]) -> list[Message]:
    """What a run has appended to its session's transcript: each step's words, calls and results."""
    messages: list[Message] = []
    for event in events:
        match event:
            case StepDone(text=text, intents=intents, calls=calls, problem=problem):
                if text or calls or problem:
                    wanted = intents if calls or problem else ()
                    messages.append(Message(role="assistant", content=text, intents=wanted, tool_calls=calls))
                if problem is not None:
                    messages.append(Message(role="tool", content=problem))
            case ToolRan(call=call, output=output):
                messages.append(Message(role="tool", content=output, tool_call_id=call.id))
    return messages


def joined(texts: Iterable[str]) -> str:
    """What the steps of a run said, as one text."""
    return "\n\n".join(filter(None, texts))
