"""The recursive runtime loses nothing: with models that make no mistake every answer is exact, over real HTTP."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from evals.scripted import Call, ScriptedBackend
from evals.tasks import Oracle, Task, depth, labels, needle, pairs, read_instances, scripted_root
from evals.tasks.questions import FORMS, Form
from programs import RANTS, Backends
from programs.settings import LoopSettings, ModelSettings, ModelsSettings

TREC = Path(__file__).parents[2] / "../shared/data/trec_qc.jsonl"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")


async def explore(task: Task) -> tuple[str, Sequence[Call], Sequence[Call]]:
    """The answer to a task, and the calls of the root LM and of the sub-LM, whose replies overtake each other."""
    with ScriptedBackend(scripted_root) as root, ScriptedBackend(Oracle(task.gold, jitter=0.05)) as oracle:
        models = ModelsSettings(
            generator=ModelSettings(base_url=root.base_url, model="root", context_window=32768),
            sub_lm=ModelSettings(base_url=oracle.base_url, model="oracle", context_window=32768),
        )
        backends = Backends(models)
        try:
            rants = RANTS(backends, LoopSettings(mode="explore", max_depth=3))
            prediction = await rants.acall(question=task.question, context=task.context)
        finally:
            await backends.aclose()
        return prediction.text, root.calls, oracle.calls


@pytest.mark.parametrize("form", FORMS)
async def test_labels_of_3000_lines(form: Form) -> None:
    task = labels.make(1, 3000, form)
    answer, turns, prompts = await explore(task)
    assert answer == task.answer
    assert len(turns) == 5
    if form not in ("user", "rivals"):
        assert len(prompts) == 2 * -(-1500 // 40)  # each half in batches of 40 lines


@pytest.mark.parametrize("query", [1, 5, 11, 19])
async def test_pairs_of_1300_lines(query: int) -> None:
    task = pairs.make(1, 1300, query)
    answer, turns, _ = await explore(task)
    assert answer == task.answer
    assert len(turns) == 5


async def test_a_needle_in_a_million_tokens() -> None:
    task = needle.make(1, 1_000_000)
    answer, turns, prompts = await explore(task)
    assert answer == task.answer
    assert len(turns) == 3
    assert len(prompts) == 1


async def test_sums_come_up_through_three_depths() -> None:
    task = depth.make(1, chapters=4, sections=4, lines=20)
    answer, turns, prompts = await explore(task)
    assert answer == task.answer
    assert len(turns) == 4 + 4 * 4 + 4 * 4 * 3  # the document's, its chapters', their sections' sessions
    assert len(prompts) == 4 * 4 * 20  # a line each


@pytest.mark.skipif(not TREC.exists(), reason="the data is not here")
async def test_labels_of_3000_lines_of_trec() -> None:
    task = labels.make(1, 3000, "count", read_instances(TREC))
    answer, _, _ = await explore(task)
    assert answer == task.answer
