"""RANTS as an optimiser sees it: a program that does jobs by their names, with the predictors that it may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy

from evals.optimize.steps import Step
from evals.optimize.work import STUDENT, Program, Work, program_of
from programs import RANTS, Backends
from programs.context import shorten
from programs.program import put
from programs.transcript import estimate_tokens

LONGEST = 2000
"""Tokens of a demonstration. What is longer would take the room that the question needs."""


class Student(dspy.Module):  # type: ignore[misc]
    """Does a job when it is called with the name of one; the prediction has `score`, `right` and `feedback`.

    What is traced for optimisers are the steps that are worth showing (`evals.optimize.steps`), and not each call.

    Args:
        rants: the program.
        backends: the models that it asks.
        names: the predictors that may be changed; for an optimiser there are no others.
        work: the jobs.
        who: `STUDENT`, or another name for a teacher.
        cut: whether a step that is too long for a demonstration is traced with its texts cut, for a model to reflect
            upon, and not left out.
    """

    def __init__(
        self,
        rants: RANTS,
        backends: Backends,
        names: Sequence[str],
        work: Work,
        *,
        who: str = STUDENT,
        cut: bool = False,
    ) -> None:
        super().__init__()
        self.rants = rants
        self.backends = backends
        self.names = tuple(names)
        self.work = work
        self.who = who
        self.cut = cut

    @property
    def program(self) -> Program:
        """What it is now."""
        return program_of(self.rants, self.names)

    def become(self, program: Program) -> None:
        """Take the instructions and demonstrations of a program."""
        for name, predictor in self.named_parameters():
            put(predictor, program[name])

    def named_parameters(self) -> list[tuple[str, Any]]:
        """See `dspy.Module`: those that may be changed, named as in a saved program."""
        return [(name, predictor) for name, predictor in self.rants.named_parameters() if name in self.names]

    def forward(self, job: str) -> dspy.Prediction:
        """Do a job. Blocks."""
        ran = self.work.do(self.rants, self.backends, self.program, self.who, job)
        predictors = dict(self.named_parameters())
        for step in ran.steps:
            if (
                step.predictor in predictors
                and (shown := self._shown(step)) is not None
                and dspy.settings.trace is not None
            ):
                dspy.settings.trace.append((predictors[step.predictor], shown.inputs, dspy.Prediction(**shown.outputs)))
        return dspy.Prediction(score=ran.done.score, right=ran.done.right, feedback=ran.done.feedback)

    def _shown(self, step: Step) -> Step | None:
        if estimate_tokens(str((step.inputs, step.outputs))) <= LONGEST:
            return step
        return Step(step.predictor, _cut(step.inputs), _cut(step.outputs)) if self.cut else None


def _cut(value: Any) -> Any:
    """The value, each text in it shortened."""
    match value:
        case str():
            return shorten(value, LONGEST // 4)
        case dict():
            return {name: _cut(one) for name, one in value.items()}
        case list() | tuple():
            return [_cut(one) for one in value]
        case dspy.History():
            return dspy.History(messages=_cut(value.messages))
    return value
