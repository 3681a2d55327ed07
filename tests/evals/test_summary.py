"""What the terminal shows of results: rows worked out by hand, failures by kind, two runs task by task."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from evals.comparison import join
from evals.reading import read
from evals.rows import length, rows_of
from evals.summary import compare, table_of
from programs.errors import ConfigurationError
from tests.evals.some_results import keep, result

MIXED = [
    result(seed=0, prompt=100, completion=1, model_calls=1, seconds=1.0),
    result(seed=1, prompt=300, completion=3, model_calls=2, seconds=3.0, score=0.5, floor=0.2),
    result(seed=2, prompt=200, completion=2, model_calls=9, seconds=2.0, score=0.0, failure="ContextTooLong"),
    result(seed=3, prompt=900, completion=9, model_calls=4, seconds=9.0, score=0.0, stopped_by="budget_seconds"),
    result(seed=4, prompt=100, completion=1, model_calls=3, seconds=1.0, score=0.0, failure="ContextTooLong"),
]


def shown(table: Table) -> list[list[str]]:
    """The cells of each row that has some, the heading first."""
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return [line.split() for line in capture.get().splitlines() if line.strip(" ─")]


def test_a_row_is_as_worked_out_by_hand() -> None:
    (row,) = rows_of(MIXED)
    assert [row.tasks, row.score.value, row.floor, row.right] == pytest.approx([5, 0.3, 0.04, 0.2])
    assert (row.prompt, row.completion, row.model_calls, row.seconds) == (200, 2, 3, 2.0)
    assert row.failures == (("ContextTooLong", 2), ("budget_seconds", 1))
    # The deviation is 0.4472, and 2.7764 standard errors are 0.5553.
    assert [row.score.low, row.score.high] == pytest.approx([0.0, 0.8553], abs=1e-4)


def test_rows_are_by_benchmark_and_length_and_then_in_the_order_of_the_run() -> None:
    several = [
        result(benchmark=benchmark, tokens=tokens, strategy=strategy, model=model)
        for strategy in ("truncate", "direct")
        for model in ("small", "big")
        for tokens in (131072, 8192)
        for benchmark in ("oolong", "niah")
    ]
    rows = [(row.benchmark, row.tokens, row.strategy, row.model) for row in rows_of(several)]
    assert len(rows) == 16
    assert rows[:5] == [
        ("niah", 8192, "truncate", "small"),
        ("niah", 8192, "truncate", "big"),
        ("niah", 8192, "direct", "small"),
        ("niah", 8192, "direct", "big"),
        ("niah", 131072, "truncate", "small"),
    ]


def test_the_table_has_columns_for_what_differs_and_says_a_name_once() -> None:
    alike = [result(tokens=tokens, seed=seed) for tokens in (8192, 1048576) for seed in range(3)]
    both = [*alike, result(tokens=8192, strategy="direct")]
    table = shown(table_of(both, "Results"))
    assert table[0] == ["Results"]
    assert table[1][:4] == ["length", "strategy", "tasks", "score"]
    assert "failures" not in table[1]
    assert table[2][:3] == ["8k", "rants", "3"]
    assert table[3][:3] == ["direct", "1", "100.0"]
    assert table[4][:3] == ["1M", "rants", "3"]
    assert shown(table_of(alike[:3], "Results"))[1][:2] == ["strategy", "tasks"]


def test_the_table_tells_failures_by_kind() -> None:
    table = shown(table_of(MIXED, "Mixed"))
    assert table[1] == [
        *("strategy", "tasks", "score", "95", "%", "guess", "right", "tokens", "in", "out", "calls", "seconds"),
        "failures",
    ]
    row = ["rants", "5", "30.0", "0", "to", "86", "4.0", "20", "%", "200", "2", "3", "2.0", "ContextTooLong", "2"]
    assert table[2:] == [row, ["budget_seconds", "1"]]


def test_nothing_in_results_commands_the_terminal() -> None:
    table = shown(table_of([result(strategy="[red]x[/]\x1b[31m"), result(strategy="\u202eevil")], "[bold]t\x1b]0;"))
    assert table[0] == [r"[bold]t\x1b]0;"]
    assert [row[0] for row in table[2:]] == [r"[red]x[/]\x1b[31m", r"\u202eevil"]


@pytest.mark.parametrize(
    ("tokens", "label"),
    [
        *((8192, "8k"), (8000, "8k"), (128000, "128k"), (131072, "128k"), (1048576, "1M"), (1000000, "1M")),
        *(
            (500, "500"),
            (11796, "11.8k"),
            (999_999, "1M"),
            (1536 * 1024, "1536k"),
            (1_570_001, "1.57M"),
            (10_000_000, "10M"),
        ),
    ],
)
def test_lengths_are_said_in_a_few_characters(tokens: int, label: str) -> None:
    assert length(tokens) == label


def test_runs_are_compared_task_by_task(tmp_path: Path) -> None:
    a = [result(seed=seed, score=score, prompt=90) for seed, score in enumerate([0.0, 0.5, 1.0, 1.0, 0.0])]
    b = [
        result(seed=seed, score=score, prompt=190, model="big")
        for seed, score in [(9, 1.0), (4, 0.25), (3, 0.5), (2, 1.0), (1, 1.0), (0, 1.0)]
    ]
    (row,) = join(a, b)
    assert (row.tasks, row.a, row.b, row.wins, row.losses, row.model) == (5, 0.5, 0.75, 3, 1, "big")
    # The differences 1, 0.5, 0, -0.5, 0.25 have a deviation of 0.5590, and 2.7764 standard errors are 0.6941.
    assert [row.difference.value, row.difference.low, row.difference.high] == [
        0.25,
        pytest.approx(-0.4441, abs=1e-4),
        pytest.approx(0.9441, abs=1e-4),
    ]
    assert row.cost == 2.0
    table = shown(compare(keep(tmp_path / "one", a), keep(tmp_path / "other", b)))
    assert table[:2] == [["a:", "one"], ["b:", "other"]]
    assert table[3] == ["rants", "5", "50.0", "75.0", "+25.0", "-44", "to", "+94", "3", "1", "1", "2.00"]


def test_models_are_compared_by_name_where_a_folder_has_several() -> None:
    a = [result(model=model, score=score) for model, score in (("small", 0.0), ("big", 1.0))]
    (row,) = join(a, [result(model="big", prompt=0, completion=0)])
    assert (row.model, row.a, row.b, row.cost) == ("big", 1.0, 1.0, 0.0)
    with pytest.raises(ConfigurationError, match=r"nothing in common: .* and model"):
        join(a, [result(model="other")])


def test_the_ratio_to_no_cost_is_not_told(tmp_path: Path) -> None:
    free = keep(tmp_path / "a", [result(prompt=0, completion=0)])
    assert shown(compare(free, keep(tmp_path / "b", [result()])))[3][-1] == "-"


def test_other_tasks_are_not_compared() -> None:
    with pytest.raises(ConfigurationError, match="nothing in common"):
        join([result(seed=1)], [result(seed=2)])
    with pytest.raises(ConfigurationError, match="seed 0 of niah at 8,192 tokens is another task"):
        join([result()], [result(question="What?")])


def test_folders_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*results\.jsonl: name the --out folder"):
        read(tmp_path)
    with pytest.raises(ConfigurationError, match="has no results yet"):
        read(keep(tmp_path, []))
    keep(tmp_path, [result()])
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"cell": ')
    assert read(tmp_path) == [result()]
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write("1}\n")
    with pytest.raises(ConfigurationError, match="line 2 is no result"):
        read(tmp_path)


def test_what_was_written_last_counts(tmp_path: Path) -> None:
    assert read(keep(tmp_path, [result(score=0.0), result(seed=1), result()])) == [result(), result(seed=1)]
