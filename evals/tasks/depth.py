"""The task `depth`: a document of chapters of sections of lines, to be counted by sessions within sessions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evals.tasks.instances import LABELS, Instance, made_up
from evals.tasks.lines import gold_of
from evals.tasks.task import Task

type Section = Sequence[tuple[int, Instance]]
"""Each question of a section, and how many visitors asked it."""


def make(
    seed: int,
    chapters: int = 4,
    sections: int = 4,
    lines: int = 12,
    instances: Sequence[Instance] | None = None,
) -> Task:
    """A question for a sum over all lines of a text whose lines only a sub-LM can judge.

    Args:
        seed: the same seed gives the same task.
        chapters: of the text.
        sections: of each chapter.
        lines: of each section, with one instance and a number of up to four digits.
        instances: to draw from; they repeat where they are too few. By default `made_up` ones.
    """
    dice = random.Random(f"depth {seed}")
    pool = instances or made_up(seed, chapters * sections * lines)
    document = [
        [[(dice.randrange(1, 10_000), dice.choice(pool)) for _ in range(lines)] for _ in range(sections)]
        for _ in range(chapters)
    ]
    return ask(dice.choice(LABELS[1:]), document)


def ask(label: str, chapters: Sequence[Sequence[Section]]) -> Task:
    """The task over just these lines: how many visitors asked for something labelled `label`."""
    text = ["What visitors asked at the desk. Each line says how many of them asked what."]
    total = 0
    for number, chapter in enumerate(chapters, 1):
        text.append(f"CHAPTER {number}")
        for part, section in enumerate(chapter, 1):
            text.append(f"SECTION {number}.{part}")
            for visitors, instance in section:
                text.append(f"{visitors} visitors asked: {instance.text}")
                total += visitors * (instance.label == label)
    wanted = (
        f"How many visitors in this document asked a question with the label '{label}'? What a question asks for has "
        f"one of six labels: {', '.join(LABELS)}. The text does not say which. Answer with the number alone."
    )
    return Task("\n".join(text), wanted, str(total), gold_of([i for c in chapters for s in c for _, i in s]))
