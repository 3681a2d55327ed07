"""`oolong` and `oolong-pairs`: the answers of a second oracle score everything, and no answer scores nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.benchmarks import BENCHMARKS, Benchmark
from evals.tasks.instances import made_up
from tests.evals.second import counted, paired

OOLONG, PAIRS = BENCHMARKS["oolong"], BENCHMARKS["oolong-pairs"]
NOTHING = ("", "I do not know")


@pytest.mark.parametrize("seed", range(12))
def test_oolong_is_what_can_be_counted(seed: int) -> None:
    task = OOLONG.make(seed, 2000, None)
    answer = counted(task)
    assert OOLONG.score(task, answer) == 1.0
    assert OOLONG.right(task, answer)
    for reply in NOTHING:
        assert OOLONG.score(task, reply) == 0.0
        assert not OOLONG.right(task, reply)
    assert 0 < task.floor < 1


@pytest.mark.parametrize("query", range(1, 21))
def test_oolong_pairs_is_what_sql_finds(query: int) -> None:
    tasks = (PAIRS.make(seed, 5000, None) for seed in range(query - 1, 100, 20))
    task = next(task for task in tasks if task.answer != "none")
    answer = paired(query, task)
    assert PAIRS.score(task, answer) == 1.0
    assert PAIRS.right(task, answer)
    for reply in NOTHING:
        assert PAIRS.score(task, reply) == 0.0
        assert not PAIRS.right(task, reply)
    assert 0 < task.floor <= 1


@pytest.mark.parametrize("benchmark", [OOLONG, PAIRS], ids=lambda benchmark: benchmark.name)
def test_questions_come_from_a_file(tmp_path: Path, benchmark: Benchmark) -> None:
    path = tmp_path / "questions.jsonl"
    texts = {instance.text: instance.label for instance in made_up(1, 300)}
    path.write_text("".join(f"{json.dumps({'question': text, 'label': texts[text]})}\n" for text in texts))
    task = benchmark.make(1, 1000, path)
    assert set(task.gold.items()) <= set(texts.items())
    assert task == benchmark.make(1, 1000, path) != benchmark.make(2, 1000, path)
    assert len(task.context) == pytest.approx(4000, rel=0.1)
