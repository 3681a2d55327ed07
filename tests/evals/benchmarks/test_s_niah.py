"""The needle as a benchmark: in made-up prose or in that of a file, scored as RULER scores and more strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evals.benchmarks import BENCHMARKS
from evals.tasks import Task
from programs.errors import ConfigurationError

S_NIAH, S_NIAH_8 = BENCHMARKS["s-niah"], BENCHMARKS["s-niah-8"]
ADDRESSES = Path(__file__).parents[3] / "../shared/data/us_presidents.txt"
SEVEN_DIGITS = re.compile(r"\b\d{7}\b")


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    path = tmp_path / "prose.txt"
    path.write_text("One  thing is\nsaid. Is another asked?\n\nA third\tis shouted! The end\n")
    return path


def test_there_is_one_needle_or_nine() -> None:
    for benchmark, needles in ((S_NIAH, 1), (S_NIAH_8, 9)):
        for seed in range(4):
            task = benchmark.make(seed, 2_000, None)
            assert len(SEVEN_DIGITS.findall(task.context)) == needles
            assert task == benchmark.make(seed, 2_000, None)
            assert task.floor == benchmark.score(task, "") == 0


def test_needles_are_told_between_the_sentences_of_a_file_that_is_repeated(prose: Path) -> None:
    tasks = [S_NIAH_8.make(seed, 2_000, prose) for seed in range(12)]
    assert tasks[3] == S_NIAH_8.make(3, 2_000, prose)
    around = []
    for task in tasks:
        assert 7_900 < len(task.context) <= 8_000
        told = re.sub(r"(?:^|(?<=\s))(?:One of the special|The access code)[^.]*\d{7}\.(?:\s|$)", "", task.context)
        assert not SEVEN_DIGITS.search(told)
        around.append(" ".join(told.split()))
    cycle = "One thing is said. Is another asked? A third is shouted! The end " * 150
    assert all(text in cycle for text in around)
    assert len({text[:20] for text in around}) == 4


@pytest.mark.parametrize(("content", "problem"), [(b"\xff\xfe", "no text in UTF-8"), (b" \n", "is empty")])
def test_what_is_no_prose_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "data"
    with pytest.raises(ConfigurationError, match=r"data: cannot read .*No such file"):
        S_NIAH.make(0, 500, path)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem):
        S_NIAH.make(0, 500, path)


@pytest.mark.parametrize(
    ("reply", "score", "right"),
    [
        ("The number is 7654321.", 1, True),
        ("Either 7654321 or 1234567.", 1, False),
        ("It is 1234567.", 0, False),
        ("I do not know.", 0, False),
    ],
)
def test_a_list_scores_but_is_not_right(reply: str, score: float, right: bool) -> None:
    task = Task("", "", "7654321")
    assert (S_NIAH.score(task, reply), S_NIAH.right(task, reply)) == (score, right)


@pytest.mark.skipif(not ADDRESSES.exists(), reason="the data is not here")
def test_ten_million_tokens_of_addresses() -> None:
    task = S_NIAH_8.make(1, 10_000_000, ADDRESSES)
    assert 39_990_000 < len(task.context) <= 40_000_000
    assert task.context.count(task.answer) == 1
