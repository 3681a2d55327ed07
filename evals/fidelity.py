"""How faithful the runtime is: what it adds to, or loses of, the mistakes of the models in it. It should be nothing.

A scripted root LM and an oracle as the sub-LM, which mislabels a part of the questions, answer over real HTTP, with
RANTS exploring in its default environment. Beside it the same question is answered without any runtime, in Python, by
the labels that the oracle gives: the arithmetic alone. The difference of the two is the runtime's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from evals.benchmarks import BENCHMARKS
from evals.benchmarks.oolong import instances_of
from evals.scripted import ScriptedBackend
from evals.tasks import Instance, Oracle, Task, labels, pairs, scripted_root
from evals.tasks.lines import Line, lines_in
from programs import RANTS, Backends
from programs.settings import LoopSettings, ModelSettings, ModelsSettings

SIZES: Final = (("oolong", 131_072), ("oolong-pairs", 32_768), ("oolong", 1_048_576))
"""Benchmarks and how many tokens their contexts have."""

_AIMS: Mapping[tuple[str, float], str] = {
    ("oolong", 0.0): "100",
    ("oolong-pairs", 0.0): "100",
    ("oolong", 0.1): "about 84",
    ("oolong-pairs", 0.1): "about 62",
}
_WINDOW = 32_768


@dataclass(slots=True)
class Measured:
    """One row.

    Attributes:
        benchmark: by name.
        tokens: of each context, about.
        error_rate: of the oracle.
        scores: of each task, 0 to 1.
        alone: what the arithmetic alone scores in each.
        same: how many replies are what the arithmetic alone answers, to the character.
        seconds: that all tasks took.
    """

    benchmark: str
    tokens: int
    error_rate: float
    scores: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    same: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A task, and how it is answered from lines without any runtime."""

    task: Task
    lines: Sequence[Line]
    answer: Callable[[Sequence[Line]], str]


async def fidelity(
    error_rates: Sequence[float] = (0.0, 0.1),
    *,
    count: int = 20,
    seed: int = 0,
    data: Path | None = None,
    sizes: Sequence[tuple[str, int]] = SIZES,
) -> list[Measured]:
    """Measure and print a table.

    Args:
        error_rates: parts of the questions that the oracle mislabels, 0 to 1; each is a row for each size.
        count: tasks of each size; at twenty each query of `oolong-pairs` comes once.
        seed: of the first task.
        data: questions, as `read_instances` reads them; by default they are made up.
        sizes: names of benchmarks, and about how many tokens their contexts have.

    Raises:
        ConfigurationError: the data cannot be used.
        RantsError: a run fails.
    """
    found = []
    with ScriptedBackend(scripted_root) as root, ScriptedBackend(Oracle()) as sub_lm:
        models = ModelsSettings(
            generator=ModelSettings(base_url=root.base_url, model="root", context_window=_WINDOW),
            sub_lm=ModelSettings(base_url=sub_lm.base_url, model="oracle", context_window=_WINDOW),
        )
        backends = Backends(models)
        rants = RANTS(backends, LoopSettings(mode="explore"))
        try:
            with Console(stderr=True).status("") as status:
                for name, tokens in sizes:
                    rows = [Measured(name, tokens, rate) for rate in error_rates]
                    for own in range(seed, seed + count):
                        status.update(f"{name}, {tokens:,} tokens: task {own - seed + 1} of {count}")
                        asked = _asked(name, own, tokens, instances_of(own, data))
                        for row in rows:
                            sub_lm.script = oracle = Oracle(asked.task.gold, error_rate=row.error_rate, seed=own)
                            await _measure(rants, asked, oracle, row)
                    found += rows
        finally:
            await backends.aclose()
    Console(width=110).print(_table(found))
    return found


def _asked(name: str, seed: int, tokens: int, instances: Sequence[Instance]) -> _Asked:
    lines = lines_in(tokens, instances)
    if name == "oolong":
        question, drawn = labels.asked(seed, lines, instances=instances)
        return _Asked(labels.ask(question, drawn), drawn, question.answer)
    query, drawn = pairs.asked(seed, lines, instances=instances)
    return _Asked(pairs.ask(query, drawn), drawn, query.answer)


async def _measure(rants: RANTS, asked: _Asked, oracle: Oracle, row: Measured) -> None:
    """Answer with and without the runtime, and note both in `row`."""
    believed = [
        replace(line, instance=Instance(line.instance.text, oracle.label(line.instance.text))) for line in asked.lines
    ]
    alone = asked.answer(believed)
    start = time.perf_counter()
    reply = str((await rants.acall(question=asked.task.question, context=asked.task.context)).text)
    row.seconds += time.perf_counter() - start
    score = BENCHMARKS[row.benchmark].score
    row.scores.append(score(asked.task, reply))
    row.alone.append(score(asked.task, alone))
    row.same += reply == alone


def _table(rows: Sequence[Measured]) -> Table:
    table = Table(title="What the runtime adds to its models' mistakes", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("benchmark")
    for name in ("tokens", "errors", "tasks", "score", "aim", "without a runtime", "loss", "same answers", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        tasks = len(row.scores)
        score, alone = 100 * sum(row.scores) / tasks, 100 * sum(row.alone) / tasks
        table.add_row(
            row.benchmark,
            f"{row.tokens:,}",
            f"{100 * row.error_rate:g} %",
            str(tasks),
            f"{score:.1f}",
            _AIMS.get((row.benchmark, row.error_rate), "-"),
            f"{alone:.1f}",
            f"{alone - score:.1f}",
            f"{row.same}/{tasks}",
            f"{row.seconds:.0f}",
        )
    return table
