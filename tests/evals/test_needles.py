"""Tasks that a seed determines, of the length asked for, with one right answer; and their scoring."""

from __future__ import annotations

import re

import pytest

from evals.tasks import Task
from evals.tasks.needle import is_right, tasks


def test_a_seed_determines_its_task() -> None:
    first = list(tasks(0, 4, 2_000, distractors=3))
    assert first == list(tasks(0, 4, 2_000, distractors=3))
    assert first[2:] == list(tasks(2, 2, 2_000, distractors=3))
    assert len({task.context for task in first}) == 4


@pytest.mark.parametrize("tokens", [500, 4_000, 131_072])
def test_a_text_is_as_long_as_asked_for(tokens: int) -> None:
    for task in tasks(0, 2, tokens, distractors=4):
        assert 4 * tokens - 200 < len(task.context) <= 4 * tokens


@pytest.mark.parametrize("distractors", [0, 8])
def test_one_needle_answers_the_question_and_the_others_are_of_its_kind(distractors: int) -> None:
    for task in tasks(0, 6, 4_000, distractors):
        numbers = re.findall(r"\b\d{7}\b", task.context)
        assert len(numbers) == len(set(numbers)) == 1 + distractors
        found = re.search(r"(?:number for|code of the) ([a-z]+[- ][a-z]+)", task.question)
        assert found is not None
        told = [sentence for sentence in re.split(r"(?<=\.)\s", task.context) if re.search(r"\d{7}", sentence)]
        assert [task.answer in sentence for sentence in told if f" {found[1]} is" in sentence] == [True]
        assert len({re.sub(r"[a-z]+[- ][a-z]+ is(:?) \d{7}", r"KEY is\1 NUMBER", sentence) for sentence in told}) == 1


def test_needles_lie_anywhere() -> None:
    depths = [task.context.index(task.answer) / len(task.context) for task in tasks(0, 30, 2_000)]
    assert min(depths) < 0.2
    assert max(depths) > 0.8


def test_the_prose_is_varied() -> None:
    (task,) = tasks(0, 1, 20_000)
    sentences = re.split(r"(?<=\.)\s", task.context)
    assert len(set(sentences)) > 0.95 * len(sentences)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("7654321", True),
        ("The code is 7654321.", True),
        ("**7654321**, as paragraph 12 says. 7654321!", True),
        ("17654321", False),
        ("7654321st", False),
        ("765432", False),
        ("It is 1234567.", False),
        ("Either 7654321 or 1234567.", False),
        ("", False),
    ],
)
def test_a_reply_is_right_that_names_the_number_and_no_other(reply: str, right: bool) -> None:
    assert is_right(Task("", "", "7654321"), reply) is right
