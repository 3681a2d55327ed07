"""The twenty queries of OOLONG-Pairs (arXiv 2512.24601, appendix), as data: which two users are a pair."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from evals.tasks.lines import Line

_ABBREVIATION = "abbreviation"
_ENTITY = "entity"
_DESCRIPTION = "description and abstract concept"
_HUMAN = "human being"
_LOCATION = "location"
_NUMBER = "numeric value"

_WORDS = ("no", "one", "two")


@dataclass(frozen=True, slots=True)
class Need:
    """What a user must have: so many questions with one of some labels.

    Attributes:
        count: how many at least.
        labels: any of these counts.
        exactly: and not one more.
    """

    count: int
    labels: tuple[str, ...]
    exactly: bool = False

    def __str__(self) -> str:
        """As the question says it."""
        labels = " or ".join(f"'{label}'" for label in self.labels)
        questions = "question" if self.count == 1 else "questions"
        return f"{'exactly' if self.exactly else 'at least'} {_WORDS[self.count]} {questions} labelled {labels}"

    def met(self, lines: Sequence[Line]) -> bool:
        """Whether the user with these lines has it."""
        found = sum(line.instance.label in self.labels for line in lines)
        return found == self.count if self.exactly else found >= self.count


@dataclass(frozen=True, slots=True)
class Limit:
    """When all questions with one label must have been asked, by either user; who has none keeps it.

    Attributes:
        label: of the questions.
        day: not itself within the limit.
        after: else before.
    """

    label: str
    day: datetime.date
    after: bool

    def __str__(self) -> str:
        """As the question says it."""
        side = "after" if self.after else "before"
        return f"all questions of theirs labelled '{self.label}' are {side} {self.day:%b %d, %Y}"

    def kept(self, lines: Sequence[Line]) -> bool:
        """Whether the user with these lines keeps it."""
        days = [line.date for line in lines if line.instance.label == self.label]
        return all(day > self.day if self.after else day < self.day for day in days)


@dataclass(frozen=True, slots=True)
class Query:
    """Which two users are a pair.

    Attributes:
        one: all that one of them needs.
        other: all that the other one needs; None for the same.
        limit: of time, on both.
    """

    one: tuple[Need, ...]
    other: tuple[Need, ...] | None = None
    limit: Limit | None = None

    def __str__(self) -> str:
        """As the question says it."""
        one = " and ".join(map(str, self.one))
        if self.other is not None:
            return f"one user has {one}, and the other user has {' and '.join(map(str, self.other))}"
        return f"both users have {one}" + (f", and {self.limit}" if self.limit else "")

    def pairs(self, lines: Sequence[Line]) -> list[tuple[int, int]]:
        """The pairs among the users of these lines, each the smaller number first, sorted by number."""
        lines_of: dict[int, list[Line]] = {}
        for line in lines:
            lines_of.setdefault(line.user, []).append(line)
        ones = {user for user in lines_of if self._fits(self.one, lines_of[user])}
        others = ones if self.other is None else {user for user in lines_of if self._fits(self.other, lines_of[user])}
        return [
            (a, b)
            for a, b in itertools.combinations(sorted(lines_of), 2)
            if (a in ones and b in others) or (b in ones and a in others)
        ]

    def answer(self, lines: Sequence[Line]) -> str:
        """The pairs as text, one a line; or `none`."""
        return "\n".join(map(str, self.pairs(lines))) or "none"

    def _fits(self, needs: tuple[Need, ...], lines: Sequence[Line]) -> bool:
        return all(need.met(lines) for need in needs) and (self.limit is None or self.limit.kept(lines))


def _some(*labels: str) -> tuple[Need, ...]:
    """One question with any of these labels."""
    return (Need(1, labels),)


def _each(*labels: str) -> tuple[Need, ...]:
    """One question, at least, with each of these labels."""
    return tuple(Need(1, (label,)) for label in labels)


def _only(count: int, label: str) -> tuple[Need, ...]:
    """Exactly so many questions with this label."""
    return (Need(count, (label,), exactly=True),)


def _many(label: str) -> tuple[Need, ...]:
    """Two questions, at least, with this label."""
    return (Need(2, (label,)),)


def _after(label: str, month: int, day: int) -> Limit:
    return Limit(label, datetime.date(2023, month, day), after=True)


def _before(label: str, month: int, day: int) -> Limit:
    return Limit(label, datetime.date(2023, month, day), after=False)


QUERIES: Final[Mapping[int, Query]] = {
    1: Query(_some(_NUMBER, _LOCATION)),
    2: Query(_some(_ENTITY, _HUMAN)),
    3: Query(_some(_DESCRIPTION, _ABBREVIATION)),
    4: Query(_some(_HUMAN, _LOCATION), limit=_after(_HUMAN, 1, 6)),
    5: Query(_some(_ENTITY, _NUMBER), limit=_before(_ENTITY, 3, 15)),
    6: Query(_some(_LOCATION, _ABBREVIATION)),
    7: Query(_some(_DESCRIPTION, _NUMBER), limit=_after(_NUMBER, 2, 1)),
    8: Query(_some(_HUMAN, _DESCRIPTION)),
    9: Query(_some(_ENTITY, _LOCATION), limit=_after(_LOCATION, 4, 10)),
    10: Query(_some(_NUMBER, _ABBREVIATION), limit=_before(_ABBREVIATION, 5, 20)),
    11: Query(_each(_ENTITY, _ABBREVIATION), _only(1, _ENTITY)),
    12: Query(_many(_NUMBER), _each(_LOCATION, _HUMAN)),
    13: Query(_only(1, _DESCRIPTION), _each(_ABBREVIATION, _ENTITY)),
    14: Query(_each(_HUMAN, _NUMBER), _only(2, _LOCATION)),
    15: Query(_each(_ENTITY, _LOCATION, _ABBREVIATION), _only(1, _NUMBER)),
    16: Query(_each(_DESCRIPTION, _HUMAN), _many(_ENTITY) + _only(1, _ABBREVIATION)),
    17: Query(_only(1, _NUMBER), _each(_LOCATION, _DESCRIPTION)),
    18: Query(_each(_ABBREVIATION) + _only(1, _HUMAN), _each(_ENTITY, _NUMBER)),
    19: Query(_many(_LOCATION) + _each(_ENTITY), _only(1, _DESCRIPTION) + _only(1, _ABBREVIATION)),
    20: Query(_each(_NUMBER, _HUMAN), _each(_LOCATION, _ENTITY) + _only(1, _ABBREVIATION)),
}
"""By their number in the paper."""
