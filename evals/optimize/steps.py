"""What of a run is worth showing: the calls of models by which it did what it did, as DSPy's optimisers trace them.

A trace has every call, wrong tries and child sessions too. Of these, a demonstration is made of

- an exploration's last turn at its root, with the turns before it as its history: one whole run;
- each part of what the compiler was asked, or, where it had to try again, the first question with the last answer;
- the generator's last reply.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from programs import RANTS

type Traced = tuple[dspy.Predict, dict[str, Any], dspy.Prediction]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a model: the predictor's name, its inputs, and its outputs."""

    predictor: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


def steps_of(rants: RANTS, trace: Iterable[Traced]) -> tuple[Step, ...]:
    """The steps of a run that are worth showing, from its trace."""
    names = {id(predictor): name for name, predictor in rants.named_predictors()}
    made: defaultdict[str, list[Step]] = defaultdict(list)
    for predictor, inputs, said in trace:
        name = names[id(predictor)]
        fields = predictor.signature
        outputs = {field: said[field] for field in fields.output_fields}
        made[name].append(
            Step(name, {field: inputs[field] for field in fields.input_fields if field in inputs}, outputs)
        )
    return tuple(step for name, steps in made.items() for step in _CHOICES.get(name, _last)(steps))


def _last(steps: list[Step]) -> list[Step]:
    return steps[-1:]


def _all(steps: list[Step]) -> list[Step]:
    return steps


def _at_root(steps: list[Step]) -> list[Step]:
    """The root's session is the first that asks; those that its code opens have questions of their own."""
    first = steps[0].inputs
    return [step for step in steps if all(step.inputs[name] == first[name] for name in ("messages", "context"))][-1:]


def _without_tries(steps: list[Step]) -> list[Step]:
    again = [step for step in steps if step.inputs.get("problem")]
    if not again:
        return steps
    asked: Mapping[str, Any] = again[-1].inputs["history"].messages[-1]
    inputs = {name: value for name, value in asked.items() if name not in again[-1].outputs}
    return [Step(again[-1].predictor, inputs, again[-1].outputs)]


_CHOICES = {
    "explore.write": _at_root,
    "tool_compiler.compile": _without_tries,
    "tool_compiler.split": _all,
}
