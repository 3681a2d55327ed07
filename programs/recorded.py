"""What an earlier attempt at a run has recorded, so that a resumed run does not do, or pay for, the same again.

A run is resumed by running it again from the start. Wherever it would call a model whose reply was recorded, it takes
that reply; where it needs the environment, the recorded code is run again, its calls answered from the record. No state
of a guest is ever kept.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable

from programs.budget import Spent
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
from programs.transcript import Usage


class Recorded:
    """The recorded events of one run, by what they answer. `spent` is what that attempt has used of the budget."""

    def __init__(self, events: Iterable[Trajectory] = ()) -> None:
        self._opened: set[str] = set()
        self._written: dict[tuple[str, int], CodeWritten] = {}
        self._ran: dict[tuple[str, int], CodeRan] = {}
        self._concluded: dict[str, Concluded] = {}
        self._steps: dict[tuple[str, int], StepDone] = {}
        self._tools: dict[tuple[str, str], ToolStarted | ToolRan] = {}
        self._called: defaultdict[tuple[str, int, str], deque[ModelCalled]] = defaultdict(deque)
        begun, ended, calls, usage = math.inf, 0.0, 0, Usage()
        for event in events:
            begun, ended = min(begun, event.at), max(ended, event.at + event.seconds)
            match event:
                case SessionOpened():
                    self._opened.add(event.session)
                case CodeWritten():
                    self._written[event.session, event.turn] = event
                case CodeRan():
                    self._ran[event.session, event.turn] = event
                case Concluded():
                    self._concluded[event.session] = event
                case ModelCalled():
                    self._called[event.session, event.turn, event.prompt].append(event)
                case StepDone():
                    self._steps[event.session, event.step] = event
                case ToolStarted() | ToolRan():
                    self._tools[event.session, event.call.id] = event
            usage += event.usage
            calls += isinstance(event, (CodeWritten, ModelCalled, Concluded, StepDone))
        self.spent = Spent(max(0.0, ended - begun), calls, len(self._written), usage)

    def opened(self, session: str) -> bool:
        """Whether the session had begun."""
        return session in self._opened

    def written(self, session: str, turn: int) -> CodeWritten | None:
        """The code of a turn."""
        return self._written.get((session, turn))

    def ran(self, session: str, turn: int) -> CodeRan | None:
        """What came of the code of a turn."""
        return self._ran.get((session, turn))

    def concluded(self, session: str) -> Concluded | None:
        """How the session concluded, its budget spent."""
        return self._concluded.get(session)

    def step(self, session: str, step: int) -> StepDone | None:
        """How a step of the session ended."""
        return self._steps.get((session, step))

    def tool(self, session: str, call: str) -> ToolStarted | ToolRan | None:
        """What came of a call of a gateway tool; that it was started, where nobody knows what came of it."""
        return self._tools.get((session, call))

    def called(self, session: str, turn: int, prompt: str) -> ModelCalled | None:
        """The sub-LM's answer to a prompt of that turn, or its failure: code has seen it, and may have acted on it.

        Each is given once, in the order of the record.
        """
        calls = self._called.get((session, turn, prompt))
        return calls.popleft() if calls else None
