"""`rants eval NAME`: the grid, a run that is taken up again, folders that do not fit, and the command."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Done

from evals.benchmarks import BENCHMARKS
from evals.lengths import read_lengths
from evals.measuring import slug
from evals.reading import read
from evals.results import Cell, Result
from evals.run import evaluate, grid
from evals.scripted import Reply, ScriptedBackend, usage
from programs.errors import BackendUnavailable, ConfigurationError
from programs.settings import BudgetSettings, ModelSettings, ModelsSettings, ResilienceSettings
from server.cli import app
from server.commands.benchmarks import NAMES
from tests.support import command, eventually

NEEDLE = re.compile(r"\b\d{7}\b")
IMPATIENT = ResilienceSettings(max_retries=0)
TOKENS = 1_000
DEFAULT = ["flat", "truncation", "bm25", "direct", "explore-1"]


def finds(body: dict[str, Any]) -> Reply:
    """Plays a model that reads well, and as a root LM has itself shown the best passage."""
    asked = body["messages"]
    if "SUBMIT(" in str(asked):
        return Reply(["```python\nSUBMIT(llm_query(search(question, 1)))\n```"], usage=usage(100, 20))
    (found,) = NEEDLE.findall(asked[-1]["content"])
    return Reply([f"It is {found}."], usage=usage(300, 5, cached=200))


def models(backend: ScriptedBackend, **entry: Any) -> dict[str, ModelsSettings]:
    generator = {"base_url": backend.base_url, "model": "scripted", "context_window": 8_192, **entry}
    return {"scripted": ModelsSettings(generator=ModelSettings.model_validate(generator))}


async def run(
    out: Path,
    these: dict[str, ModelsSettings],
    strategies: Sequence[str] = ("flat", "explore-1"),
    *,
    lengths: Sequence[int] = (TOKENS,),
    seeds: Iterable[int] = range(2),
    **options: Any,
) -> list[Result]:
    options = {"budget": BudgetSettings(seconds=30), "resilience": IMPATIENT, **options}
    return await evaluate("s-niah", these, lengths=lengths, strategies=strategies, seeds=seeds, out=out, **options)


def without_times(results: Iterable[Result]) -> list[Result]:
    return [result.model_copy(update={"seconds": 0.0}) for result in results]


def test_the_command_names_the_benchmarks_that_there_are() -> None:
    assert list(NAMES) == list(BENCHMARKS)


def test_lengths_are_read_as_people_write_them() -> None:
    assert read_lengths("8k, 128k,1M,500") == [8_192, 131_072, 1_048_576, 500]
    for wrong in ("", "8K", "k", "0", "8k,,16k", "-1"):
        with pytest.raises(ValueError, match="is no length"):
            read_lengths(wrong)


def test_cells_of_a_model_are_together_and_in_these_those_of_a_task() -> None:
    cells = [*grid("s-niah", ["a", "b", "a"], [8, 16], [1, 2], ["flat", "bm25"])]
    assert len(set(cells)) == len(cells) == 16
    assert [cell.model for cell in cells] == ["a"] * 8 + ["b"] * 8
    assert [(cell.tokens, cell.seed, cell.strategy) for cell in cells[:5]] == [
        (8, 1, "flat"),
        (8, 1, "bm25"),
        (8, 2, "flat"),
        (8, 2, "bm25"),
        (16, 1, "flat"),
    ]


async def test_each_cell_is_measured_scored_and_told(tmp_path: Path) -> None:
    with ScriptedBackend(finds) as backend:
        results = await run(tmp_path / "a", models(backend))
        others = await run(tmp_path / "b", models(backend), parallel=3)
    assert [result.cell for result in results] == [
        *grid("s-niah", ["scripted"], [TOKENS], range(2), ["flat", "explore-1"])
    ]
    assert without_times(results) == without_times(others)
    assert all(result.right and result.score == 1.0 and result.failure is None for result in results)
    flat, explored = results[:2]
    assert (flat.prompt, flat.completion, flat.cached, flat.model_calls) == (300, 5, 200, 1)
    assert (explored.prompt, explored.completion, explored.model_calls) == (400, 25, 2)
    assert flat.reply == f"It is {flat.answer}."
    assert flat.trace is None
    assert explored.trace is not None
    assert "SUBMIT(llm_query(search(question, 1)))" in (tmp_path / "a" / explored.trace).read_text()


async def test_what_fails_scores_nothing_and_says_why(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Reply:
        if "short" in body["model"]:
            return Reply(status=400, error={"message": "no such parameter"})
        return Reply(fault="hang")

    with ScriptedBackend(script) as backend:
        these = {**models(backend, model="hangs"), "short": models(backend, model="short")["scripted"]}
        results = await run(
            tmp_path, these, ["flat"], lengths=[TOKENS, 20_000], seeds=[0], budget=BudgetSettings(seconds=0.5)
        )
    kinds = [(result.cell.model, result.cell.tokens, result.failure) for result in results]
    assert kinds == [
        ("scripted", TOKENS, "seconds"),
        ("scripted", 20_000, "ContextTooLong"),
        ("short", TOKENS, "BackendRejected"),
        ("short", 20_000, "ContextTooLong"),
    ]
    assert all((result.score, result.right, result.reply) == (0.0, False, "") for result in results)
    assert results[0].said == "not done within 0.5 seconds"
    assert "no such parameter" in (results[2].said or "")


async def test_what_is_there_is_not_measured_again_and_a_grid_may_grow(tmp_path: Path) -> None:
    with ScriptedBackend(finds) as backend:
        first = await run(tmp_path, models(backend))
        backend.requests = []
        assert await run(tmp_path, models(backend)) == first
        assert not backend.calls
        more = await run(tmp_path, models(backend), ["flat", "truncation", "explore-1"], seeds=range(3))
        assert len(backend.calls) == 1 + 3 + 2  # the third seed flat and explored, and truncation for each
    assert [result for result in more if result in first] == first
    assert Counter(read(tmp_path)) == Counter(more)


async def test_a_run_that_was_interrupted_goes_on_and_repeats_no_call(tmp_path: Path) -> None:
    stuck = False

    def script(body: dict[str, Any]) -> Reply:
        reply = finds(body)
        # The third question's root LM has answered when the sub-LM hangs.
        nonlocal stuck
        stuck = len(backend.calls) == 6
        return Reply(fault="hang") if stuck else reply

    with ScriptedBackend(script) as backend:
        task = asyncio.create_task(run(tmp_path, models(backend), ["explore-1"], seeds=range(4)))
        await asyncio.to_thread(eventually, lambda: stuck)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [result.cell.seed for result in read(tmp_path)] == [0, 1]
        asked = [call.body["messages"] for call in backend.calls]
        backend.script = finds
        results = await run(tmp_path, models(backend), ["explore-1"], seeds=range(4))
        assert [call.body["messages"] for call in backend.calls[6:7]] == asked[5:]
        assert len(backend.calls) == 6 + 1 + 2
    assert [(result.cell.seed, result.right, result.model_calls, result.prompt) for result in results] == [
        (seed, True, 2, 400) for seed in range(4)
    ]


async def test_a_server_that_is_gone_ends_the_run_and_fails_no_cell(tmp_path: Path) -> None:
    with ScriptedBackend(finds) as backend:
        with backend.away(), pytest.raises(BackendUnavailable):
            await run(tmp_path, models(backend), ["flat"])

        backend.script = lambda body: Reply(fault="hang") if len(backend.calls) == 2 else finds(body)
        running = asyncio.create_task(run(tmp_path, models(backend), ["flat"]))
        await asyncio.to_thread(eventually, lambda: len(backend.calls) == 2)
        with backend.away(), pytest.raises(BackendUnavailable):
            await running
    assert [result.failure for result in read(tmp_path)] == [None]


async def test_a_call_that_is_refused_fails_its_cell_and_no_breaker_answers_for_the_others(tmp_path: Path) -> None:
    with ScriptedBackend(lambda body: Reply(status=503, error={"message": "busy"})) as backend:
        failed = await run(tmp_path, models(backend), ["flat"], seeds=range(7))
    assert [result.failure for result in failed] == ["BackendUnavailable"] * 7
    assert all("busy" in (result.said or "") for result in failed)


async def test_a_folder_of_other_settings_is_refused(tmp_path: Path) -> None:
    with ScriptedBackend(finds) as backend:
        await run(tmp_path, models(backend, api_key="do-not-tell"), ["flat"])
        told = (tmp_path / "settings.json").read_text()
        assert "do-not-tell" not in told
        await run(tmp_path, models(backend, api_key="another"), ["flat"])
        with pytest.raises(ConfigurationError, match=r"budget\.seconds 30\.0, not 31\.0.*Choose another --out"):
            await run(tmp_path, models(backend), ["flat"], budget=BudgetSettings(seconds=31))
        with pytest.raises(ConfigurationError, match=r"models\.scripted\.generator\.context_window 8192, not 4096"):
            await run(tmp_path, models(backend, context_window=4_096), ["flat"])
        with pytest.raises(ConfigurationError, match=r'benchmark "s-niah", not "s-niah-8"'):
            await evaluate(
                "s-niah-8",
                models(backend),
                lengths=[TOKENS],
                strategies=["flat"],
                seeds=[0],
                budget=BudgetSettings(seconds=30),
                out=tmp_path,
            )
        assert (tmp_path / "settings.json").read_text() == told
        more = {"other": models(backend, model="other")["scripted"]}
        await run(tmp_path, more, ["flat"])
        assert [*json.loads((tmp_path / "settings.json").read_text())["models"]] == ["scripted", "other"]
        (tmp_path / "settings.json").write_text("[]")
        with pytest.raises(ConfigurationError, match="is not what an evaluation has written"):
            await run(tmp_path, models(backend), ["flat"])


async def test_a_task_that_is_another_than_before_is_refused(tmp_path: Path) -> None:
    with ScriptedBackend(finds) as backend:
        (result,) = await run(tmp_path, models(backend), ["flat"], seeds=[0])
        changed = result.model_copy(update={"answer": "7654321"})
        (tmp_path / "results.jsonl").write_text(changed.model_dump_json() + "\n")
        with pytest.raises(ConfigurationError, match=r"seed 0 at 1,000 tokens is another task.*choose another --out"):
            await run(tmp_path, models(backend), ["truncation"], seeds=[0])


async def test_unknown_names_are_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no such strategy: flatt\. There is flat, truncation"):
        await run(tmp_path, {}, ["flatt", "bm25", "up"])
    with pytest.raises(ConfigurationError, match=r"no such benchmark: niah\. There is s-niah, s-niah-8"):
        await evaluate("niah", {}, lengths=[8], strategies=["flat"], seeds=[0], budget=BudgetSettings(), out=tmp_path)


def rants(*arguments: str) -> Done:
    return CliRunner().invoke(app, ["eval", *arguments])


def environment(backend: ScriptedBackend) -> dict[str, str]:
    return {
        "RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8192",
    }


def test_the_command_measures_and_tells_and_two_runs_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None
) -> None:
    few = ("--lengths", "1k", "--count", "1")
    monkeypatch.chdir(tmp_path)
    with ScriptedBackend(finds) as backend:
        done = command("eval", "s-niah", *few, folder=tmp_path, environment=environment(backend))
        assert done.returncode == 0, done.stderr
        for name, value in environment(backend).items():
            monkeypatch.setenv(name, value)
        there = len(backend.calls)
        other = rants("s-niah", *few, "--strategies", "flat", "--out", "other", "--seconds", "60")
        assert len(backend.calls) == there + 1
        assert other.exit_code == 0, other.output
    assert [result.cell.strategy for result in read(Path("var/evals/s-niah"))] == DEFAULT
    assert all(name in done.stdout for name in DEFAULT)
    assert "The report: var/evals/s-niah/report.html" in done.stdout
    assert "explore-1" in Path("var/evals/s-niah/report.html").read_text()
    assert "score 100.0" in done.stderr
    assert json.loads(Path("other/settings.json").read_text())["budget"]["seconds"] == 60
    compared = rants("compare", "var/evals/s-niah", "other")
    assert compared.exit_code == 0
    assert "tokens b/a" in compared.stdout


def test_what_the_command_cannot_do_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no such strategy: up. There is flat" in str(rants("s-niah", "--strategies", "up").exception)
    assert "'8kb' is no length" in rants("s-niah", "--lengths", "8kb").output
    same = ("--model", "a/small.gguf", "--model", "b/small.gguf")
    assert "two are called small.gguf" in str(rants("s-niah", *same).exception)
    assert "name the --out folder" in str(rants("compare", "a", "b").exception)
    assert not [*tmp_path.iterdir()]


def test_the_command_can_be_interrupted_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        if len(backend.calls) == 1:
            return finds(body)
        os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does
        return Reply(fault="hang")

    monkeypatch.chdir(tmp_path)
    # Where the tests run in the background of a shell, it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with ScriptedBackend(script) as backend:
        for name, value in environment(backend).items():
            monkeypatch.setenv(name, value)
        asked = ["s-niah", "--lengths", "1k", "--count", "2", "--strategies", "flat"]
        try:
            done = rants(*asked)
        finally:
            signal.signal(signal.SIGINT, before)
        assert done.exit_code == 130
        assert "Interrupted. What is done is in var/evals/s-niah; the same command goes on from there." in done.stderr
        backend.script = finds
        assert rants(*asked).exit_code == 0
        assert len(backend.calls) == 3
    assert [result.cell.seed for result in read(Path("var/evals/s-niah"))] == [1000, 1001]


def test_a_cell_is_what_its_trace_is_called() -> None:
    cell = Cell(benchmark="s-niah", tokens=8, strategy="flat", model="org/name: a", seed=1)
    names = {
        slug(cell),
        slug(cell.model_copy(update={"model": "org/name; a"})),
        slug(cell.model_copy(update={"seed": 11})),
    }
    assert len(names) == 3
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)
