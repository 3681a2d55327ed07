"""What reaches the model, and what comes of it, strategy by strategy."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from evals.strategies import STRATEGIES, Said, Strategy, strategy_of
from evals.strategies.answering import Answered, answered
from evals.strategies.bm25 import chosen, ranked
from evals.tasks import Task
from programs import RANTS, Backends, save_program
from programs.errors import BackendUnavailable, ConfigurationError
from programs.settings import BudgetSettings
from programs.transcript import estimate_tokens
from tests.evals.strategies import (
    FILLER,
    SHORT,
    SUB,
    TASK,
    WINDOW,
    answers,
    backends,
    dspy_writes,
    explores,
    prompt,
    rlms_writes,
)

in_the_jail = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")
TOO_LONG = Reply(status=400, error={"message": "too long", "code": "context_length_exceeded"})


async def asked(
    name: str, server: ScriptedBackend, task: Task = TASK, *, window: int | None = WINDOW, **budget: float
) -> Answered:
    async with backends(server, window) as models:
        return await answered(STRATEGIES[name], task, models, BudgetSettings.model_validate(budget))


def test_a_strategy_is_known_by_its_name() -> None:
    assert all(name == strategy.name for name, strategy in STRATEGIES.items())
    loops = {"dspy-rlm", "rlms", "direct", "explore-1", "explore-2", "explore-3"}
    assert set(STRATEGIES) == {"flat", "truncation", "bm25", "compaction"} | loops


async def test_rants_with_a_program_is_a_strategy_of_its_own(tmp_path: Path) -> None:
    rants = RANTS()
    rants.direct.generate.signature = rants.direct.generate.signature.with_instructions("Speak like a pirate.")
    save_program(rants, tmp_path / "pirate.json", predictors=["direct.generate"], made_by={})
    strategy = strategy_of(f"direct@{tmp_path}/pirate.json")
    with ScriptedBackend(answers) as server:
        async with backends(server, WINDOW) as models:
            await answered(strategy, SHORT, models, BudgetSettings())
    assert server.calls[0].body["messages"][0] == {"role": "system", "content": "Speak like a pirate."}


@pytest.mark.parametrize(
    ("name", "why"),
    [("flat@x.json", "only RANTS has programs"), ("up", "no such strategy: up"), ("direct@x.json", "x.json")],
)
def test_a_strategy_that_there_is_not_is_told(name: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        strategy_of(name)


@pytest.mark.parametrize("name", ["flat", "truncation", "bm25", "compaction"])
async def test_what_fits_is_asked_at_once_in_the_same_words(name: str) -> None:
    with ScriptedBackend(answers) as server:
        done = await asked(name, server, SHORT)
    assert done.said == Said("4711")
    assert [call.body["messages"] for call in server.calls] == [
        [
            {
                "role": "user",
                "content": f"{SHORT.context}\n\nAnswer this question about the text above, in the form that it asks"
                f" for.\n\n{SHORT.question}",
            }
        ]
    ]


async def test_thinking_is_no_part_of_an_answer() -> None:
    with ScriptedBackend(in_turn(Reply(["<think>4712?</think>", " 4711\n"]))) as server:
        done = await asked("flat", server, SHORT)
    assert done.said == Said("4711")


async def test_flat_fails_where_the_text_does_not_fit() -> None:
    with ScriptedBackend(answers) as server:
        done = await asked("flat", server)
        assert (done.said, done.failure, done.model_calls, server.calls) == (None, "ContextTooLong", 0, [])
        assert done.words is not None
        assert "4000" in done.words
        server.script = in_turn(TOO_LONG)
        unknown = await asked("flat", server, window=None)
    assert (unknown.failure, unknown.model_calls) == ("ContextTooLong", 1)


async def test_truncation_keeps_both_ends() -> None:
    with ScriptedBackend(answers) as server:
        done = await asked("truncation", server)
    said = prompt(server.calls[0].body)
    assert done.said == Said("unknown")  # the needle is in the middle
    assert said.startswith(FILLER)
    head, _, tail = said.partition(" characters are left out here")
    assert 0.9 < len(head) / len(tail) < 1.1
    assert 0.7 * WINDOW < estimate_tokens(said) < WINDOW


async def test_bm25_shows_the_passages_that_matter() -> None:
    with ScriptedBackend(answers) as server:
        done = await asked("bm25", server)
    said = prompt(server.calls[0].body)
    assert done.said == Said("4711")
    assert 0.65 * WINDOW < estimate_tokens(said) < WINDOW
    assert "\n[...]\n" in said


def test_bm25_ranks_passages_and_keeps_their_order() -> None:
    passages = ["The door is red. ", "A heron. ", "Nothing else. ", "The blue door is here: the blue one. "]
    ranking = ranked(passages, "Where is the blue door?")
    assert ranking == [3, 0, 1, 2]
    assert chosen(passages, ranking, 1) == f"\n[...]\n{passages[3]}"
    assert chosen(passages, ranking, 19) == f"{passages[0]}\n[...]\n{passages[3]}"
    assert chosen(passages, ranking, 1000) == "".join(passages)
    assert ranked(passages, "Quousque tandem?") == ranked(passages, "") == [0, 1, 2, 3]
    assert ranked(["", "..."], "What?") == [0, 1]


@pytest.mark.parametrize("name", ["truncation", "bm25"])
async def test_less_is_shown_where_the_prompt_was_too_long_all_the_same(name: str) -> None:
    with ScriptedBackend(in_turn(TOO_LONG, TOO_LONG, Reply(["4711"]))) as server:
        done = await asked(name, server)
        assert done.said == Said("4711")
        first, second, third = (len(prompt(call.body)) for call in server.calls)
        assert first > second > third > first / 2
        server.script = in_turn(TOO_LONG)
        assert (await asked(name, server)).failure == "ContextTooLong"


async def test_compaction_reads_all_of_the_text_into_its_notes() -> None:
    said: list[str] = []

    def script(body: dict[str, object]) -> Reply:
        said.append(prompt(body))
        if "Write the notes anew" not in said[-1]:
            return Reply(["4711" if "noted: 4711" in said[-1] else "unknown"])
        return Reply([f"{len(said)} noted: {'4711' if '4711' in said[-1] else 'nothing'}"])

    with ScriptedBackend(script) as server:
        done = await asked("compaction", server)
    assert done.said is not None
    assert (done.said.reply, done.said.stopped_by) == ("4711", None)
    *reads, last = said
    pieces = [read.partition("The next part of the text:\n")[2].partition("\n\nThis question")[0] for read in reads]
    assert "".join(pieces) == TASK.context
    assert len(reads) > 3
    assert [read.split("\n")[1][:1] for read in reads] == ["(", *map(str, range(1, len(reads)))]
    assert all(estimate_tokens(read) < WINDOW for read in reads)
    assert FILLER not in last
    assert str(done.said.trajectory).count(" noted: ") == len(reads)


async def test_compaction_cuts_a_piece_that_was_too_long_all_the_same() -> None:
    def script(body: dict[str, object]) -> Reply:
        return TOO_LONG if len(prompt(body)) > 4000 else answers(body)

    with ScriptedBackend(script) as server:
        done = await asked("compaction", server, Task(FILLER * 100, "What?", ""))
    read = [said for call in server.calls if len(said := prompt(call.body)) <= 4000]
    assert done.said is not None
    assert sum(said.count(FILLER.strip()) for said in read) == 100


async def test_compaction_answers_from_its_notes_when_the_budget_is_spent() -> None:
    with ScriptedBackend(in_turn(Reply(["some notes"]))) as server:
        done = await asked("compaction", server, model_calls=2)
    assert done.said is not None
    assert done.said.stopped_by == "budget_model_calls"
    assert done.model_calls == 3  # the last one concludes
    assert prompt(server.calls[-1].body).startswith("some notes\n\n")


@in_the_jail
@pytest.mark.parametrize("name", ["explore-1", "explore-2", "explore-3"])
async def test_exploring_tells_its_trajectory(name: str) -> None:
    with ScriptedBackend(explores) as server:
        done = await asked(name, server)
    assert done.said is not None
    assert done.said.reply == "4711"
    assert len(done.said.trajectory) >= 6
    assert done.model_calls == len(server.calls) == 4


@in_the_jail
@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_the_depth_is_how_many_levels_of_models_there_are_below_the_root(depth: int) -> None:
    deeper = "```python\nSUBMIT(rlm_query('Below?', context))\n```"
    roots = 0

    def script(body: dict[str, object]) -> Reply:
        nonlocal roots
        if len(body["messages"]) == 1:  # type: ignore[arg-type]
            return Reply(["a plain call"])
        roots += 1
        return Reply([deeper])

    with ScriptedBackend(script) as server:
        done = await asked(f"explore-{depth}", server, window=100_000)
    assert done.said is not None
    assert (done.said.reply, roots) == ("a plain call", depth)


@in_the_jail
async def test_exploring_concludes_before_the_wall_clock_ends_it() -> None:
    def script(body: dict[str, object]) -> Reply:
        return Reply(["my best"]) if len(server.calls) > 1 else Reply(fault="hang")

    with ScriptedBackend(script) as server:
        done = await asked("explore-1", server, seconds=3)
    assert done.said is not None
    assert (done.said.reply, done.said.stopped_by) == ("my best", "budget_seconds")
    assert 2.5 < done.seconds < 3


async def test_direct_is_one_call() -> None:
    with ScriptedBackend(answers) as server:
        done = await asked("direct", server, SHORT)
        too_long = await asked("direct", server)
    assert done.said is not None
    assert (done.said.reply, done.said.stopped_by, done.model_calls) == ("4711", None, 1)
    assert too_long.failure == "ContextTooLong"
    assert len(server.calls) == 1


@in_the_jail
async def test_dspy_rlm_runs_over_our_engine() -> None:
    with ScriptedBackend(dspy_writes) as server:
        done = await asked("dspy-rlm", server)
    assert done.said is not None
    assert (done.said.reply, done.said.stopped_by) == ("4711", None)
    assert "print(codes)" in str(done.said.trajectory)
    assert [prompt(call.body).startswith(SUB) for call in server.calls] == [False, True, True, False]


@in_the_jail
async def test_dspy_rlm_is_bounded() -> None:
    endless = Reply(["[[ ## reasoning ## ]]\nHm.\n\n[[ ## code ## ]]\n1\n\n[[ ## completed ## ]]"])
    with ScriptedBackend(
        in_turn(endless, endless, Reply(["[[ ## answer ## ]]\n12\n\n[[ ## completed ## ]]"]))
    ) as server:
        turns = await asked("dspy-rlm", server, SHORT, iterations=2)
        server.script = in_turn(endless)
        calls = await asked("dspy-rlm", server, SHORT, model_calls=3)
        server.script = in_turn(Reply(fault="hang"))
        time_is_over = await asked("dspy-rlm", server, SHORT, seconds=1)
        server.script = in_turn(Reply(["no fields"]))
        unread = await asked("dspy-rlm", server, SHORT)
        server.script = in_turn(Reply(status=500))
        failed = await asked("dspy-rlm", server, SHORT)
    assert turns.said is not None
    assert (turns.said.reply, turns.said.stopped_by) == ("12", "budget_iterations")
    assert (calls.failure, calls.model_calls) == ("BudgetSpent", 3)
    assert time_is_over.failure == "TimeoutError"
    assert time_is_over.seconds < 5
    assert unread.failure == "AdapterParseError"
    assert failed.failure == "BackendUnavailable"


@in_the_jail
async def test_dspy_rlm_blocks_nobody_while_its_code_runs() -> None:
    busy = (
        "[[ ## reasoning ## ]]\n-\n\n[[ ## code ## ]]\nimport time; time.sleep(1); SUBMIT('x')\n\n[[ ## completed ## ]]"
    )
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.perf_counter()
            await asyncio.sleep(0.01)
            longest = max(longest, time.perf_counter() - start)

    with ScriptedBackend(in_turn(Reply([busy]))) as server:
        watching = asyncio.create_task(watch())
        done = await asked("dspy-rlm", server, SHORT)
        watching.cancel()
    assert done.said is not None
    assert longest < 0.8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="rlms is run by uv")
async def test_rlms_runs_over_our_engine_and_is_bounded() -> None:
    with ScriptedBackend(rlms_writes) as server:
        done = await asked("rlms", server)
        assert done.said == Said("4711")
        assert done.model_calls == len(server.calls) == 4
        assert done.usage.prompt == 460
        server.script = in_turn(Reply(["```repl\nprint(1)\n```"]))
        spent = await asked("rlms", server, model_calls=3)
        server.script = in_turn(Reply(["```repl\nwhile True: pass\n```"]))
        endless = await asked("rlms", server, seconds=12)
        server.script = in_turn(Reply(status=500, error={"message": "out of order"}))
        failed = await asked("rlms", server)
    assert (spent.failure, spent.model_calls) == ("BudgetSpent", 3)
    assert (endless.failure, endless.model_calls) == ("TimeoutError", 1)
    assert endless.seconds < 14
    assert failed.failure == "PeerFailed"
    assert failed.words is not None
    assert "out of order" in failed.words


async def test_a_failure_of_the_model_is_a_result() -> None:
    with ScriptedBackend(in_turn(Reply(status=500, error={"message": "out of order"}))) as server:
        done = await asked("flat", server, SHORT)
    assert (done.said, done.failure, done.model_calls) == (None, BackendUnavailable.__name__, 1)
    assert done.words == "the generator backend: out of order"


@pytest.mark.parametrize("name", ["flat", "direct", "compaction"])
async def test_the_wall_clock_holds_for_every_strategy(name: str) -> None:
    with ScriptedBackend(in_turn(Reply(fault="hang"))) as server:
        done = await asked(name, server, SHORT, seconds=0.3)
    assert (done.said, done.model_calls) == (None, 1)
    assert done.failure == "TimeoutError"
    assert done.words == "not done within 0.3 seconds"
    assert 0.25 < done.seconds < 2


async def test_a_bug_is_no_result() -> None:
    async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
        raise KeyError("a bug")

    with ScriptedBackend(answers) as server:
        async with backends(server) as models:
            with pytest.raises(KeyError, match="a bug"):
                await answered(Strategy("s", "", answer), TASK, models, BudgetSettings())


async def test_cells_at_once_are_measured_apart() -> None:
    with ScriptedBackend(lambda body: Reply(["x"], usage=usage(len(prompt(body)), 1))) as server:
        async with backends(server) as models:
            tasks = [Task(FILLER * number, "?", "") for number in range(1, 9)]
            done = await asyncio.gather(
                *(answered(STRATEGIES["flat"], task, models, BudgetSettings()) for task in tasks)
            )
    assert [one.model_calls for one in done] == [1] * 8
    prompts = [one.usage.prompt for one in done]
    assert [after - before for before, after in pairwise(prompts)] == [len(FILLER)] * 7
