"""The lines of the tasks `labels` and `pairs`: who asked what, and when. The labels are not in them."""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import dataclass

from evals.tasks.instances import LABELS, Instance

_FIRST_DAY = datetime.date(2022, 6, 1)
_DAYS = 1000

EXPLAINED = (
    "Every line is a question that a user asked on some day. What it asks for has one of six labels: "
    f"{', '.join(LABELS)}. The text does not say which: judge by the question's meaning."
)
"""What a question about such lines must say first."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `str` of it is what the text shows."""

    date: datetime.date
    user: int
    instance: Instance

    def __str__(self) -> str:
        return f"Date: {self.date:%b %d, %Y} || User: {self.user} || Instance: {self.instance.text}"


def dated(dice: random.Random, instances: Sequence[Instance], users: int) -> list[Line]:
    """`instances` in their order, each on some day by one of so many users, who have numbers of five digits."""
    numbers = dice.sample(range(10_000, 100_000), users)
    return [
        Line(_FIRST_DAY + datetime.timedelta(days=dice.randrange(_DAYS)), dice.choice(numbers), instance)
        for instance in instances
    ]


def text_of(lines: Sequence[Line]) -> str:
    """The lines as one text, with a first line that says what they are."""
    return "\n".join([f"{len(lines)} questions of users, one a line.", *map(str, lines)])


def gold_of(instances: Sequence[Instance]) -> dict[str, str]:
    """The label of each text, for an oracle."""
    return {instance.text: instance.label for instance in instances}
