"""What a task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Task:
    """A question about a text, and the one right answer.

    Attributes:
        context: the text.
        question: says also in which form the answer is wanted.
        answer: what must come back, to the character.
        gold: what an oracle must know beforehand, and the text does not say: the label of each instance.
        floor: the score, 0 to 1, that who has not seen the context can expect from the best guess.
    """

    context: str
    question: str
    answer: str
    gold: Mapping[str, str] = field(default_factory=dict)
    floor: float = 0.0
