"""The scores of OOLONG and OOLONG-Pairs against cases worked by hand."""

from __future__ import annotations

import pytest

from evals.tasks import Task
from evals.tasks.scoring import right_labels, right_pairs, score_labels, score_pairs


@pytest.mark.parametrize(
    ("answer", "reply", "score"),
    [
        ("40", "40", 1),
        ("40", "Answer: 40", 1),
        ("40", "I counted them: there are 40 of them. Answer: **[40]**.", 1),
        ("1234", "Answer: 1,234", 1),
        ("40", "42", 0.5625),
        ("40", "39", 0.75),
        ("40", "Answer: 43.", 0.421875),
        ("40", "40 questions", 0),
        ("40", "It has been a long count of a great many lines, and their number is 40.", 1),
        ("40", "forty", 0),
        ("40", "", 0),
        ("40", "I do not know", 0),
        ("40", "9" * 5000, 0),
        ("40", "40.5", 0),
        ("human being", "human being", 1),
        ("human being", "Label: human being", 1),
        ("human being", 'Label: "human being".', 1),
        ("human being", "**human being**\n", 1),
        ("human being", "Human being or entity", 0),
        ("human being", "location", 0),
        ("human being", "", 0),
        ("entity", "After all those lines it is clear that it must be 'entity'.", 1),
        ("more common", "Answer: entity is more common than location", 1),
        ("more common", "More common.", 1),
        ("more common", "The label entity is more common, with 12 of them; location: 10.", 1),
        ("more common", "less common", 0),
        ("more common", "more common, less common or equally frequent", 0),
        ("less common", "Is it more common? I counted. Answer: less common", 1),
        ("equally frequent", "They are equally frequent", 1),
        ("equally frequent", "I do not know", 0),
    ],
)
def test_labels_are_scored_as_oolong_does(answer: str, reply: str, score: float) -> None:
    task = Task("", "", answer)
    assert score_labels(task, reply) == score
    assert right_labels(task, reply) <= (score == 1)


@pytest.mark.parametrize(
    ("answer", "reply", "right"),
    [
        ("40", "40", True),
        ("40", "I counted them: there are 40 of them. Answer: **[40]**.", True),
        ("10002", "The user 10001 has more of such questions than user 10002", False),
        ("entity", "After all those lines it is clear that it must be 'entity'.", False),
        ("more common", "The label entity is more common, with 12 of them; location: 10.", True),
        ("40", "42", False),
    ],
)
def test_the_last_word_of_a_sentence_is_not_wholly_right(answer: str, reply: str, right: bool) -> None:
    assert right_labels(Task("", "", answer), reply) is right


TWO = "(10001, 10002)\n(10001, 10003)"


@pytest.mark.parametrize(
    ("answer", "reply", "score", "right"),
    [
        (TWO, TWO, 1, True),
        (TWO, "The pairs: (10001,10003), and ( 10001 , 10002 ).", 1, True),
        (TWO, "(10002, 10001) (10003, 10001) (10001, 10002)", 1, True),
        (TWO, "(10001, 10002)", 2 / 3, False),
        (TWO, TWO + "\n(10002, 10003)\n(10002, 10004)", 2 / 3, False),
        (TWO, "(10001, 10002)\n(10002, 10003)", 1 / 2, False),
        (TWO, "(10002, 10003)", 0, False),
        (TWO, "10001, 10002", 0, False),
        (TWO, "none", 0, False),
        (TWO, "", 0, False),
        (TWO, "I do not know", 0, False),
        ("none", "none", 1, True),
        ("none", "There are None.", 1, True),
        ("none", "", 1, False),
        ("none", "(10001, 10002)", 0, False),
    ],
)
def test_pairs_are_scored_by_f1(answer: str, reply: str, score: float, right: bool) -> None:
    task = Task("", "", answer)
    assert score_pairs(task, reply) == pytest.approx(score)
    assert right_pairs(task, reply) is right
