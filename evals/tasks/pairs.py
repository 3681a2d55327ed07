"""The task `pairs`, in the form of OOLONG-Pairs: an answer that grows with the square of the users."""

from __future__ import annotations

import random
from collections.abc import Sequence

from evals.tasks.instances import Instance, made_up
from evals.tasks.lines import EXPLAINED, Line, draw, gold_of, text_of
from evals.tasks.queries import QUERIES, Query
from evals.tasks.task import Task
from programs.errors import ConfigurationError


def make(seed: int, lines: int = 1300, query: int | None = None, instances: Sequence[Instance] | None = None) -> Task:
    """A question for all pairs of users that fit a condition, as `asked` draws it and `ask` asks it."""
    return ask(*asked(seed, lines, query, instances))


def asked(
    seed: int, lines: int = 1300, query: int | None = None, instances: Sequence[Instance] | None = None
) -> tuple[Query, list[Line]]:
    """A query, and the lines that it is about.

    Args:
        seed: the same seed gives the same ones.
        lines: each with one instance, of about 25 tokens, by a quarter as many users, of whom some ask nothing;
            `lines_in` tells how many make a text of a given length.
        query: its number, one of `QUERIES`; by default the seed chooses: they take turns.
        instances: to draw from, see `draw`. By default `made_up` ones.

    Raises:
        ConfigurationError: there is no such query, or a label has no instance.
    """
    number = seed % len(QUERIES) + 1 if query is None else query
    if number not in QUERIES:
        raise ConfigurationError(f"query: there is no {number}; choose from 1 to {len(QUERIES)}")
    dice = random.Random(f"pairs {seed}")
    return QUERIES[number], draw(dice, lines, instances or made_up(seed, max(lines, 1000)))


def ask(query: Query, lines: Sequence[Line]) -> Task:
    """The task over just these lines. Its answer is a pair a line, sorted by number, as `(12345, 23456)`; or `none`."""
    wanted = (
        f"List all pairs of different users where {query}. "
        "Answer with one pair a line, as (12345, 23456): the smaller number first, the lines sorted by number; "
        "or with 'none'."
    )
    return Task(
        context=text_of(lines),
        question=f"{EXPLAINED} {wanted}",
        answer=query.answer(lines),
        gold=gold_of([line.instance for line in lines]),
        floor=_of_all(len(query.pairs(lines)), len({line.user for line in lines})),
    )


def _of_all(right: int, users: int) -> float:
    """The F1 of the answer that all pairs of so many users are right."""
    return 2 * right / (right + users * (users - 1) / 2) if right else 0.0
