"""The task `labels`, in the form of OOLONG's trec_coarse: to count what no line says, so that all must be read."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
from collections.abc import Sequence
from typing import Final

from evals.tasks.instances import LABELS, Instance, made_up
from evals.tasks.lines import EVENNESS, EXPLAINED, Line, draw, gold_of, text_of
from evals.tasks.questions import FORMS, Close, Form, Question, pose
from evals.tasks.task import Task
from programs.errors import ConfigurationError

PART: Final = 0.75
"""What is left of the score for each that a count is wrong by (arXiv 2511.02817)."""

_FEWEST = 20


def make(seed: int, lines: int = 3000, form: Form | None = None, instances: Sequence[Instance] | None = None) -> Task:
    """A question about how often labels occur in a text, as `asked` draws it and `ask` asks it."""
    return ask(*asked(seed, lines, form, instances))


def asked(
    seed: int, lines: int = 3000, form: Form | None = None, instances: Sequence[Instance] | None = None
) -> tuple[Question, list[Line]]:
    """A question, and the lines that it is about.

    Args:
        seed: the same seed gives the same ones.
        lines: at least 20, each with one instance, of about 25 tokens; `lines_in` tells how many make a text of a given
            length.
        form: of the question. By default the seed chooses: the forms take turns.
        instances: to draw from, see `draw`. By default `made_up` ones.

    Raises:
        ConfigurationError: too few lines, or a label without an instance.
    """
    if lines < _FEWEST:
        raise ConfigurationError(f"a text of {lines} lines is too short: it needs at least {_FEWEST}, or 500 tokens")
    dice = random.Random(f"labels {seed}")
    chosen: Form = FORMS[seed % len(FORMS)] if form is None else form
    pool = instances or made_up(seed, max(lines, 1000))
    while True:
        first, second = dice.sample(LABELS, 2)
        drawn = draw(dice, lines, pool)
        with contextlib.suppress(Close):  # then draw again
            return pose(chosen, drawn, (first, second)), drawn


def ask(question: Question, lines: Sequence[Line]) -> Task:
    """The task over just these lines. Its answer is a label, a number, or one of `COMPARISONS`."""
    return Task(
        context=text_of(lines),
        question=f"{EXPLAINED} {question}",
        answer=question.answer(lines),
        gold=gold_of([line.instance for line in lines]),
        floor=_floor(question.form, len(lines)),
    )


def _floor(form: Form, lines: int) -> float:
    match form:
        case "most" | "least" | "user":
            return 1 / len(LABELS)
        case "rivals" | "compare":  # two labels are hardly ever equally common
            return 1 / 2
        case "count":
            return _best_guess(lines)


def _best_guess(lines: int) -> float:
    """What the best number can expect to score as the count of a label, from whom knows how lines are drawn.

    A label's count in so many lines is then beta-binomial. A guess scores the sum, over each count, of its probability
    times 0.75 for each that it is away; which is what comes from the counts below and what comes from those above.
    """
    own, rest = EVENNESS, EVENNESS * (len(LABELS) - 1)
    chances = [
        math.exp(_log_binomial(lines, count) + _log_beta(count + own, lines - count + rest) - _log_beta(own, rest))
        for count in range(lines + 1)
    ]
    below, above = _fading(chances), _fading(chances[::-1])[::-1]
    return max(low + high - here for low, high, here in zip(below, above, chances, strict=True))


def _fading(chances: Sequence[float]) -> list[float]:
    """For each place the sum of all up to it, each the less the farther away it is."""
    return list(itertools.accumulate(chances, lambda before, here: before * PART + here))


def _log_binomial(of: int, some: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(some + 1) - math.lgamma(of - some + 1)


def _log_beta(first: float, second: float) -> float:
    return math.lgamma(first) + math.lgamma(second) - math.lgamma(first + second)
