"""The task `pairs`, in the form of OOLONG-Pairs: an answer that grows with the square of the users."""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evals.tasks.instances import LABELS, Instance, made_up
from evals.tasks.lines import EXPLAINED, Line, dated, gold_of, text_of
from evals.tasks.task import Task

type Form = Literal["both", "each", "exactly", "after"]

FORMS: Final[tuple[Form, ...]] = ("both", "each", "exactly", "after")


@dataclass(frozen=True, slots=True)
class Condition:
    """Which two users are a pair.

    Attributes:
        form: `both` have a question labelled `first` or `second`; `each`: one has a `first` and the other a `second`;
            `exactly`: one has both a `first` and a `second`, and the other exactly one `first`; `after`: as `both`,
            and all that they have of `first` is later than `day`.
    """

    form: Form
    first: str
    second: str
    day: datetime.date

    def __str__(self) -> str:
        """As the question says it."""
        either = f"both users have at least one question labelled '{self.first}' or '{self.second}'"
        match self.form:
            case "both":
                return either
            case "each":
                return (
                    f"one user has at least one question labelled '{self.first}' "
                    f"and the other user has at least one labelled '{self.second}'"
                )
            case "exactly":
                return (
                    f"one user has at least one question labelled '{self.first}' and at least one labelled "
                    f"'{self.second}', and the other user has exactly one labelled '{self.first}'"
                )
            case "after":
                return f"{either}, and all questions of theirs labelled '{self.first}' are after {self.day:%b %d, %Y}"

    def fits_one(self, lines: Sequence[Line]) -> bool:
        """Whether the user with these lines may be the one of a pair."""
        firsts, seconds = self._labelled(self.first, lines), self._labelled(self.second, lines)
        match self.form:
            case "both":
                return bool(firsts or seconds)
            case "each":
                return bool(firsts)
            case "exactly":
                return bool(firsts and seconds)
            case "after":
                return bool(firsts or seconds) and all(line.date > self.day for line in firsts)

    def fits_other(self, lines: Sequence[Line]) -> bool:
        """Whether the user with these lines may be the other of a pair."""
        match self.form:
            case "each":
                return bool(self._labelled(self.second, lines))
            case "exactly":
                return len(self._labelled(self.first, lines)) == 1
            case _:
                return self.fits_one(lines)

    def _labelled(self, label: str, lines: Sequence[Line]) -> list[Line]:
        return [line for line in lines if line.instance.label == label]


def make(seed: int, lines: int = 780, form: Form | None = None, instances: Sequence[Instance] | None = None) -> Task:
    """A question for all pairs of users that fit a condition.

    Args:
        seed: the same seed gives the same task.
        lines: of the text, each with one instance; a fifth as many users, so that 780 lines have 12,000 pairs.
        form: of the condition, see `Condition`; by default the seed chooses.
        instances: to draw from; they repeat where they are too few. By default `made_up` ones.

    Returns:
        A task whose answer is a pair a line, sorted by number, as `(12345, 23456)`; or `none`.
    """
    dice = random.Random(f"pairs {seed}")
    chosen: Form = dice.choice(FORMS) if form is None else form
    pool = instances or made_up(seed, lines)
    drawn = [*itertools.islice(itertools.cycle(dice.sample(pool, len(pool))), lines)]
    dated_lines = dated(dice, drawn, users=max(2, lines // 5))
    first, second = dice.sample(LABELS[1:], 2)  # abbreviations are too rare to be asked for
    return ask(Condition(chosen, first, second, dice.choice(dated_lines).date), dated_lines)


def ask(condition: Condition, lines: Sequence[Line]) -> Task:
    """The task over just these lines."""
    users = sorted({line.user for line in lines})
    lines_of = {user: [line for line in lines if line.user == user] for user in users}
    ones = {user for user in users if condition.fits_one(lines_of[user])}
    others = {user for user in users if condition.fits_other(lines_of[user])}
    found = [
        f"({a}, {b})"
        for a, b in itertools.combinations(users, 2)
        if (a in ones and b in others) or (b in ones and a in others)
    ]
    wanted = (
        f"List all pairs of different users where {condition}. "
        "Answer with one pair a line, as (12345, 23456): the smaller number first, the lines sorted by number; "
        "or with 'none'."
    )
    answer = "\n".join(found) or "none"
    return Task(text_of(lines), f"{EXPLAINED} {wanted}", answer, gold_of([line.instance for line in lines]))
