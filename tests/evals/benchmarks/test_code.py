"""Questions about code: one letter is right and the others are not; and how letters are read from replies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from evals.benchmarks import BENCHMARKS
from evals.tasks import Task
from evals.tasks.choices import letter_of
from programs.errors import ConfigurationError
from tests.evals.code_oracle import oracle

CODE = BENCHMARKS["code"]
FORMS = {
    "In which file",
    "What is the default",
    "How many parameters",
    "Which of these methods",
    "Which class does",
    "Which class defines",
    "Which exception",
    "Which of these files",
}


def test_tokens_tell_the_same_answers_as_syntax() -> None:
    tasks = [CODE.make(seed, 16_000, None) for seed in range(60)]
    asked = [task.question.partition("its path. ")[2] for task in tasks]
    assert {form for form in FORMS for text in asked if text.startswith(form)} == FORMS
    for task in tasks:
        assert oracle(task) == [task.answer], task.question
        assert CODE.score(task, f"**{task.answer}**") == 1
        assert CODE.score(task, "") == 0
        assert task.floor == 0.25
        assert 0.9 * 64_000 < len(task.context) <= 64_000
    assert min(Counter(task.answer for task in tasks).values()) > 5
    assert len(set(asked)) == 60


def test_a_seed_makes_one_task() -> None:
    assert CODE.make(3, 8_000, None) == CODE.make(3, 8_000, None) != CODE.make(11, 8_000, None)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    for name in "abcdef":
        body = f"def outer_{name}(one, two, three={ord(name)}):\n    raise {name.upper()}Problem\n"
        (tmp_path / "package" / f"{name}{name}{name}.py").write_text(body + "# " + "x" * 200 + "\n")
    return tmp_path


def test_what_is_not_the_repositorys_own_code_is_not_in_the_text(repository: Path) -> None:
    for path in ("tests/test_it.py", ".venv/own.py", "site-packages/other.py", "readme.txt", "empty.py"):
        (repository / path).parent.mkdir(exist_ok=True)
        (repository / path).write_text("" if path == "empty.py" else "LEFT_OUT = 1\n")
    (repository / "latin.py").write_bytes(b"# coding: latin-1\nNAME = '\xe9'\n")
    (repository / "broken.py").write_bytes(b"NAME = '\xe9'\n")
    (repository / "old.py").write_text("print 'old'\n")
    task = CODE.make(0, 480, repository)
    assert "LEFT_OUT" not in task.context
    assert sorted(part.partition("\n")[0] for part in task.context.split("# file: ")[1:]) == [
        "latin.py",
        "old.py",
        *(f"package/{name * 3}.py" for name in "abcdef"),
    ]
    assert "NAME = 'é'" in task.context
    assert oracle(task) == [task.answer]


def test_a_length_that_the_repository_has_not_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="tokens: no files fill 5,000; the repository has 4"):
        CODE.make(0, 5_000, repository)
    with pytest.raises(ConfigurationError, match="there is no Python file"):
        CODE.make(0, 5_000, tmp_path / "none")


def test_files_with_nothing_to_ask_about_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("NAME = 1\n" * 100)
    with pytest.raises(ConfigurationError, match="nothing to ask about in 1 files"):
        CODE.make(0, 230, tmp_path)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (B)\n", "B"),
        ("(b).", "B"),
        ("B) foo", "B"),
        ("B. The file is b.py", "B"),
        ("B: foo", "B"),
        ("B\n\nSince A is not.", "B"),
        ("**B**", "B"),
        ("**B) foo**", "B"),
        ("`B`", "B"),
        ("The answer is B", "B"),
        ("The correct answer is (B).", "B"),
        ("Answer: **B**", "B"),
        ("My answer would first be A, but no. Final answer: option B", "B"),
        ("It is defined in b.py, so I choose option B.", "B"),
        ("It is in b.py, which is choice (B), I think.", "B"),
        ("I looked at b.py: (B)", "B"),
        ("A function of that name is in b.py", None),
        ("A and B", None),
        ("The answer is A or B", None),
        ("(A) or (B)", None),
        ("E", None),
        ("I do not know.", None),
        ("", None),
    ],
)
def test_a_letter_is_read_from_what_is_said(reply: str, letter: str | None) -> None:
    assert letter_of(reply) == letter
    assert CODE.right(Task("", "", "B"), reply) is (letter == "B")
