"""The task `labels`, in the form of OOLONG's trec_coarse: to count what no line says, so that all must be read."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from evals.tasks.instances import LABELS, Instance, made_up
from evals.tasks.lines import EXPLAINED, Line, dated, gold_of, text_of
from evals.tasks.task import Task

type Form = Literal["most", "least", "count", "user", "compare"]

FORMS: Final[tuple[Form, ...]] = ("most", "least", "count", "user", "compare")


def make(seed: int, lines: int = 3000, form: Form | None = None, instances: Sequence[Instance] | None = None) -> Task:
    """A question about how often labels occur in a text.

    Args:
        seed: the same seed gives the same task.
        lines: of the text, at least 20, each with one instance, of about 25 tokens.
        form: asks for the `most` or the `least` common label, for the `count` of one, for the most common one of one
            `user`, or to `compare` two. By default the seed chooses.
        instances: to draw from, in the proportion of their labels, every label among them; they repeat where they are
            too few. By default `made_up` ones.

    Returns:
        A task whose answer is a label, a number, or `more common`, `less common` or `equally frequent`.

    Raises:
        ValueError: too few lines.
    """
    if lines < 20:
        raise ValueError("at least 20 lines, so that one label can be the least common")
    dice = random.Random(f"labels {seed}")
    chosen: Form = dice.choice(FORMS) if form is None else form
    pools = _pools(dice, instances or made_up(seed, max(lines, 1000)))
    while True:
        first, second = dice.sample(LABELS, 2)
        counts = Counter(dice.choices(LABELS, [len(pools[label]) for label in LABELS], k=lines))
        if chosen == "compare" and dice.random() < 1 / 3:
            _even_out(counts, first, second)
        drawn = [pools[label][n % len(pools[label])] for label in LABELS for n in range(counts[label])]
        dice.shuffle(drawn)
        with contextlib.suppress(_Tie):  # then draw again
            return ask(chosen, dated(dice, drawn, users=max(1, lines // 12)), (first, second))


class _Tie(ValueError):
    """Two labels are equally common where one should be named."""


def ask(form: Form, lines: Sequence[Line], asked: tuple[str, str]) -> Task:
    """The task over just these lines. `count` asks for the first label of `asked`, `compare` for both.

    Raises:
        ValueError: two labels are equally common where one should be named.
    """
    user = next((line.user for line in lines if _leader(_counts(lines, line.user))), None) if form == "user" else None
    counts = _counts(lines, user)
    first, second = asked
    match form:
        case "most" | "user":
            of_whom = "Of all questions" if user is None else f"Of the questions of user {user} alone"
            wanted = f"{of_whom}, which label is the most common? Answer with the label alone."
            answer = _leader(counts)
        case "least":
            wanted = "Of all questions, which label is the least common? Answer with the label alone."
            answer = _leader(Counter({label: -counts[label] for label in LABELS}))
        case "count":
            wanted = f"How many questions have the label '{first}'? Answer with the number alone."
            answer = str(counts[first])
        case "compare":
            wanted = (
                f"Is the label '{first}' more common than the label '{second}', less common, or equally frequent? "
                "Answer 'more common', 'less common' or 'equally frequent'."
            )
            more, equal = counts[first] > counts[second], counts[first] == counts[second]
            answer = "equally frequent" if equal else "more common" if more else "less common"
    if answer is None:
        raise _Tie("two labels are equally common")
    return Task(text_of(lines), f"{EXPLAINED} {wanted}", answer, gold_of([line.instance for line in lines]))


def _pools(dice: random.Random, instances: Sequence[Instance]) -> dict[str, list[Instance]]:
    """The instances by their label, in an order of their own."""
    pools: dict[str, list[Instance]] = {label: [] for label in LABELS}
    for instance in dice.sample(instances, len(instances)):
        pools[instance.label].append(instance)
    return pools


def _even_out(counts: Counter[str], first: str, second: str) -> None:
    """Make both as common as each other; an odd one goes to another label."""
    both, odd = divmod(counts[first] + counts[second], 2)
    counts[first] = counts[second] = both
    counts[next(label for label in LABELS if label not in (first, second))] += odd


def _counts(lines: Sequence[Line], user: int | None) -> Counter[str]:
    return Counter(line.instance.label for line in lines if user in (None, line.user))


def _leader(counts: Counter[str]) -> str | None:
    """The most common label, if it is one."""
    (label, most), *others = counts.most_common(2)
    return None if others and others[0][1] == most else label
