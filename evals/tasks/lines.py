"""The lines of the tasks `labels` and `pairs`: who asked what, and when. The labels are not in them.

They are drawn as OOLONG draws its windows (arXiv 2511.02817): how common each label is, is drawn anew for each text, so
that nobody can guess it from what is known of the questions; a fifth of the users ask four fifths of them; the days are
any. 32,768 tokens have about 230 users, as the windows that OOLONG-Pairs asks about.
"""

from __future__ import annotations

import datetime
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evals.tasks.instances import LABELS, Instance
from evals.tasks.needle import CHARACTERS_PER_TOKEN
from programs.errors import ConfigurationError

EVENNESS: Final = 2
"""The parameter of the Dirichlet distribution that the labels' shares come from: at 1 any would be as likely."""

_LINES_PER_USER = 4
_BUSY = 0.2  # of the users
_OF_THE_BUSY = 0.8  # of the lines

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


def draw(dice: random.Random, count: int, instances: Sequence[Instance]) -> list[Line]:
    """`count` lines, by users who have numbers of five digits.

    Args:
        dice: decide everything.
        count: of the lines.
        instances: to draw from, of every label; those of a label repeat where they are too few.

    Raises:
        ConfigurationError: a label has no instance.
    """
    pools: dict[str, list[Instance]] = {label: [] for label in LABELS}
    for instance in dice.sample(instances, len(instances)):
        pools[instance.label].append(instance)
    if missing := [label for label in LABELS if not pools[label]]:
        raise ConfigurationError(f"data: no question has the label {missing[0]!r}; each label needs at least one")
    shares = [dice.gammavariate(EVENNESS, 1) for _ in LABELS]
    numbers = dice.sample(range(10_000, 100_000), max(2, count // _LINES_PER_USER))
    some = max(1, round(len(numbers) * _BUSY))
    busy, others = numbers[:some], numbers[some:]
    taken: Counter[str] = Counter()
    lines = []
    for label in dice.choices(LABELS, shares, k=count):
        day = _FIRST_DAY + datetime.timedelta(days=dice.randrange(_DAYS))
        user = dice.choice(busy if dice.random() < _OF_THE_BUSY else others)
        lines.append(Line(day, user, pools[label][taken[label] % len(pools[label])]))
        taken[label] += 1
    return lines


def lines_in(tokens: int, instances: Sequence[Instance]) -> int:
    """How many lines of such instances are about so many tokens, at four characters a token."""
    empty = len(str(Line(_FIRST_DAY, 10_000, Instance("", LABELS[0])))) + 1
    mean = sum(len(instance.text) for instance in instances) / len(instances)
    return round(tokens * CHARACTERS_PER_TOKEN / (empty + mean))


def text_of(lines: Sequence[Line]) -> str:
    """The lines as one text, with a first line that says what they are."""
    return "\n".join([f"{len(lines)} questions of users, one a line.", *map(str, lines)])


def gold_of(instances: Sequence[Instance]) -> dict[str, str]:
    """The label of each text, for an oracle."""
    return {instance.text: instance.label for instance in instances}
