"""The task `code`: a question with four choices about a repository, in the way of LongBench-v2 (arXiv 2412.15204).

    task = code.make(seed=0, tokens=131_072)

What is asked has to be found, and often followed, in the files; what is right is read from their syntax, and what is
wrong is wrong whatever is meant. Names that give an answer away are not asked about. By default the repository is
Python's standard library, whose tasks depend on Python's version, and of which a model may know something by heart:
where that matters, take a repository that nobody has seen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from evals.tasks.code_forms import FORMS, Question
from evals.tasks.repository import Source, chosen, read_repository, standard_library, text_of
from evals.tasks.task import Task
from programs.errors import ConfigurationError

LETTERS: Final = "ABCD"

_TOLD = "The text holds files of Python, each after a line `# file: ` and its path."
_FORM = "Answer with the letter alone: A, B, C or D."


def make(seed: int, tokens: int = 131_072, folder: Path | None = None) -> Task:
    """A question about files that the seed chooses, with one right letter.

    Args:
        seed: the same seed gives the same task; eight in a row ask in eight ways, where the files allow it.
        tokens: how long the text is, at four characters a token.
        folder: of the repository; by default Python's standard library.

    Raises:
        ConfigurationError: the repository has too little, or nothing in what was chosen can be asked about.
    """
    dice = random.Random(f"code {seed}")
    sources = chosen(dice, read_repository(folder or standard_library()), tokens)
    question = _question(dice, seed, sources)
    choices = dice.sample([question.right, *question.wrong], len(LETTERS))
    listed = [f"{letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=True)]
    return Task(
        context=text_of(sources),
        question="\n".join([f"{_TOLD} {question.text}", "", *listed, "", _FORM]),
        answer=LETTERS[choices.index(question.right)],
        floor=1 / len(LETTERS),
    )


def _question(dice: random.Random, seed: int, sources: Sequence[Source]) -> Question:
    """One of the form whose turn it is, or else of the next that these files allow."""
    for turn in range(len(FORMS)):
        form = FORMS[(seed + turn) % len(FORMS)]
        if (question := next(form(dice, sources), None)) is not None:
            return question
    raise ConfigurationError(
        f"tokens: there is nothing to ask about in {len(sources)} files: ask for a greater length, or give a larger "
        "repository as data"
    )
