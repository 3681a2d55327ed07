"""What the task `labels` asks, as data: six forms of OOLONG's questions (arXiv 2511.02817)."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evals.tasks.instances import LABELS
from evals.tasks.lines import Line

type Form = Literal["most", "least", "count", "user", "rivals", "compare"]

FORMS: Final[tuple[Form, ...]] = ("most", "least", "count", "user", "rivals", "compare")

COMPARISONS: Final = ("more common", "less common", "equally frequent")
"""The answers of the form `compare`."""

_APART = 0.02  # of the lines: what is closer, OOLONG does not ask about
_RIVALS = 10


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        form: asks for the `most` or the `least` common label, for the `count` of one, for the most common one of one
            `user`, which of two `rivals` among the users has more of one, or to `compare` two labels.
        labels: that it speaks of: one for `count` and `rivals`, two for `compare`.
        users: that it speaks of: one for `user`, two for `rivals`, the smaller number first.
    """

    form: Form
    labels: tuple[str, ...] = ()
    users: tuple[int, ...] = ()

    def __str__(self) -> str:
        """As it is asked."""
        match self.form:
            case "most" | "least":
                return f"Of all questions, which label is the {self.form} common? Answer with the label alone."
            case "user":
                whose = f"Of the questions of user {self.users[0]} alone"
                return f"{whose}, which label is the most common? Answer with the label alone."
            case "count":
                return f"How many questions have the label '{self.labels[0]}'? Answer with the number alone."
            case "rivals":
                one, other = self.users
                return (
                    f"Which user has more questions with the label '{self.labels[0]}': user {one} or user {other}? "
                    "Answer with the user's number alone."
                )
            case "compare":
                first, second = self.labels
                return (
                    f"Is the label '{first}' more common than the label '{second}', less common, or equally frequent? "
                    "Answer 'more common', 'less common' or 'equally frequent'."
                )

    def answer(self, lines: Sequence[Line]) -> str:
        """The answer over these lines; of labels, or users, that are equally common the one that is named first."""
        counts = _counts([line for line in lines if not self.users or line.user in self.users])
        match self.form:
            case "most" | "user":
                return max(LABELS, key=lambda label: counts[label])
            case "least":
                return min(LABELS, key=lambda label: counts[label])
            case "count":
                return str(counts[self.labels[0]])
            case "rivals":
                askers = Counter(line.user for line in lines if line.instance.label == self.labels[0])
                return str(max(self.users, key=lambda user: askers[user]))
            case "compare":
                more, less, equal = COMPARISONS
                difference = counts[self.labels[0]] - counts[self.labels[1]]
                return more if difference > 0 else less if difference < 0 else equal


class Close(ValueError):
    """Two are as common, or nearly, where one should be named."""


def pose(form: Form, lines: Sequence[Line], asked: tuple[str, str]) -> Question:
    """The question of a form over these lines: `count` and `rivals` have the first label of `asked`, `compare` both.

    As in OOLONG, the most common label leads by more than two in a hundred lines, labels to be compared are as far
    apart or equally common, and the rivals are two of the ten users who have most of their label.

    Raises:
        Close: there is no such question, since no one label, or user, is clearly the one to be named.
    """
    counts = _counts(lines)
    match form:
        case "most":
            _lead(counts)
            return Question(form)
        case "least":
            least, other = sorted(counts[label] for label in LABELS)[:2]
            if least == other:
                raise Close("two labels are equally common")
            return Question(form)
        case "count":
            return Question(form, asked[:1])
        case "user":
            return Question(form, users=(_spoken_for(lines),))
        case "rivals":
            return Question(form, asked[:1], _rivals(lines, asked[0]))
        case "compare":
            if 0 < abs(counts[asked[0]] - counts[asked[1]]) <= _APART * len(lines):
                raise Close("two labels are nearly equally common")
            return Question(form, asked)


def _counts(lines: Sequence[Line]) -> Counter[str]:
    return Counter(line.instance.label for line in lines)


def _lead(counts: Counter[str]) -> None:
    most, other = sorted((counts[label] for label in LABELS), reverse=True)[:2]
    if most - other <= _APART * counts.total():
        raise Close("two labels are equally common, or nearly")


def _spoken_for(lines: Sequence[Line]) -> int:
    """The first user who has a most common label."""
    for user in dict.fromkeys(line.user for line in lines):
        with contextlib.suppress(Close):
            _lead(_counts([line for line in lines if line.user == user]))
            return user
    raise Close("no user has a most common label")


def _rivals(lines: Sequence[Line], label: str) -> tuple[int, int]:
    """Of the ten users who have most of `label`, the first and the last, by number."""
    most = Counter(line.user for line in lines if line.instance.label == label).most_common(_RIVALS)
    if not most or most[0][1] <= most[-1][1] + 1:
        raise Close("no user has clearly more of a label than another")
    low, high = sorted((most[0][0], most[-1][0]))
    return low, high
