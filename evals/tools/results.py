"""What came of each case."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from evals.tools.cases import Case
from evals.tools.score import why_invalid, why_wrong
from programs.transcript import ToolCall

type Side = Literal["rants", "own"]


class Outcome(BaseModel):
    """What one side did with one case.

    Attributes:
        calls: that it made.
        said: beside them, or why there are none.
        invalid: which call does not fit its schema, and why; None where all do.
        wrong: in what they differ from what is right; None where they are right.
        seconds: that it took.
    """

    model_config = ConfigDict(frozen=True)

    calls: tuple[ToolCall, ...]
    said: str
    invalid: str | None
    wrong: str | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the calls are right."""
        return self.wrong is None

    @classmethod
    def judged(cls, case: Case, calls: list[ToolCall], said: str, seconds: float) -> Outcome:
        """The outcome of these calls."""
        invalid, wrong = why_invalid(case, calls), why_wrong(case, calls)
        return cls(calls=tuple(calls), said=said, invalid=invalid, wrong=wrong, seconds=round(seconds, 3))


class Result(BaseModel):
    """One case, with what both sides did: RANTS, and the same model's own function calling if it was asked."""

    model_config = ConfigDict(frozen=True)

    id: str
    model: str
    category: str
    intent: str
    gold: tuple[dict[str, Any], ...]
    rants: Outcome
    own: Outcome | None = None
