"""An evaluation that was interrupted goes on without asking for the same replies again."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import (
    Config,
    Message,
    Request,
    Response,
    StreamDeltaEvent,
    TextDelta,
    TextPart,
    ThinkingPart,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    Usage,
)

from evals.caching import Cache
from evals.replies import read, written
from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from evals.strategies import STRATEGIES
from evals.strategies.answering import Answered, answered
from evals.tasks import Task
from programs import Backends
from programs.backends import listening
from programs.backends.lm import BackendLM
from programs.errors import ConfigurationError
from programs.settings import BudgetSettings
from tests.evals.strategies import FILLER, TASK, backends, dspy_writes, explores, rlms_writes

in_the_jail = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")

type Play = Callable[[dict[str, Any]], Reply]


def notes(body: dict[str, Any]) -> Reply:
    """A model that notes something, for compaction."""
    return Reply([f"noted {hash(str(body['messages'])) % 1000}"], usage=usage(100, 10, 5))


PLAYED = [
    pytest.param("compaction", notes),
    pytest.param("explore-1", explores, marks=in_the_jail),
    pytest.param("dspy-rlm", dspy_writes, marks=in_the_jail),
    pytest.param(
        "rlms",
        rlms_writes,
        marks=[pytest.mark.slow, pytest.mark.skipif(shutil.which("uv") is None, reason="rlms is run by uv")],
    ),
]


async def attempt(name: str, models: Backends, cache: Cache | None, cell: str = "c") -> Answered:
    return await answered(STRATEGIES[name], TASK, models, BudgetSettings(seconds=60), cache=cache, cell=cell)


def kept(folder: Path) -> int:
    """How many replies are on disk."""
    with closing(sqlite3.connect(folder / "replies.sqlite")) as database:
        return int(database.execute("SELECT count(*) FROM replies").fetchone()[0])


def times_asked(server: ScriptedBackend) -> Counter[str]:
    return Counter(str(call.body["messages"]) for call in server.calls)


@pytest.mark.parametrize(("name", "play"), PLAYED)
async def test_what_was_answered_before_the_interruption_is_not_asked_again(
    name: str, play: Play, tmp_path: Path
) -> None:
    with ScriptedBackend(play) as server:
        async with backends(server) as models:
            whole = await attempt(name, models, None)
            everything, server.requests[:] = times_asked(server), []
            half = everything.total() // 2
            reached = asyncio.Event()
            loop, number = asyncio.get_running_loop(), itertools.count()

            def interrupted(body: dict[str, Any]) -> Reply:
                if next(number) < half:
                    return play(body)
                loop.call_soon_threadsafe(reached.set)
                return Reply(fault="hang")

            server.script = interrupted
            with Cache(tmp_path / "results") as cache:
                first = asyncio.create_task(attempt(name, models, cache))
                await reached.wait()
                while kept(tmp_path / "results") < half:  # noqa: ASYNC110 - the disk tells nobody
                    await asyncio.sleep(0.01)
                first.cancel()
                await asyncio.wait([first])
            answered_calls, server.requests[:] = server.calls[:half], []
            server.script = play
            with Cache(tmp_path / "results") as cache:
                second = await attempt(name, models, cache)
                rest, server.requests[:] = times_asked(server), []
                third = await attempt(name, models, cache)
    assert first.cancelled()
    before = Counter(str(call.body["messages"]) for call in answered_calls)
    assert before.total() == half > 0
    assert before + rest == everything
    assert server.calls == []
    assert second.said is not None
    assert whole.said is not None
    assert third.said is not None
    assert whole.said.reply == second.said.reply == third.said.reply
    assert whole.usage == second.usage == third.usage
    assert whole.model_calls == second.model_calls == third.model_calls


async def asked(models: Backends, said: str, cache: Cache, cell: str = "c", *, times: int = 1) -> list[str]:
    lm = models.through(cache.cell(cell)).lm("generator")
    request = Request(model="scripted", messages=(Message.user(said),))
    return [(await lm.acall(request)).text for _ in range(times)]


def counting() -> Play:
    number = itertools.count()
    return lambda body: Reply([str(next(number))], usage=usage(3, 1))


async def test_the_same_request_made_twice_keeps_its_two_replies(tmp_path: Path) -> None:
    with ScriptedBackend(counting()) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            assert await asked(models, "How many?", cache, times=2) == ["0", "1"]
            assert await asked(models, "How many?", cache, times=3) == ["0", "1", "2"]
            assert await asked(models, "How much?", cache) == ["3"]
            assert await asked(models, "How many?", cache, "another cell") == ["4"]


def test_a_reply_is_read_as_it_was_written() -> None:
    parts = (
        ThinkingPart(text="hm"),
        TextPart(text="ç\n"),
        ToolCallPart(id="call_1", name="edit", input={"path": "a", "lines": [1, 2]}),
    )
    message = Message(role="assistant", parts=parts)
    for tokens in (Usage(), Usage(input_tokens=3, output_tokens=1, total_tokens=4, cache_read_tokens=2)):
        reply = Response(id="r", model="m", message=message, finish_reason="tool_call", usage=tokens)
        assert read(written(reply)) == reply
    likely = TokenLogprob("a", -0.1, top=(TopLogprob("a", -0.1), TopLogprob("", -2.5, bytes=(231, 140), token_id=7)))
    reply = Response(id="r", model="m", message=message, finish_reason="stop", usage=Usage(), logprobs=(likely, likely))
    assert read(written(reply)) == reply


async def test_how_likely_tokens_are_is_kept(tmp_path: Path) -> None:
    request = Request(model="scripted", messages=(Message.user("A or b?"),), config=Config(logprobs=2))
    reply = Reply(["a"], top={"a": -0.5, "b": -1.0, "c": -9.0}, usage=usage(3, 1))
    with ScriptedBackend(in_turn(reply)) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            replies = [await models.through(cache.cell("c")).lm("generator").acall(request) for _ in range(2)]
    assert len(server.calls) == 1
    for one in replies:
        assert one.logprobs is not None
        assert [(token.token, token.logprob) for token in one.logprobs[0].top] == [("a", -0.5), ("b", -1.0)]


async def test_a_kept_reply_is_streamed(tmp_path: Path) -> None:
    request = Request(model="scripted", messages=(Message.user("Who?"),))
    with ScriptedBackend(in_turn(Reply(["a", "b"], usage=usage(3, 1)))) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            streams = []
            for _ in range(2):
                lm: BackendLM = models.through(cache.cell("c")).lm("generator")
                streams.append([event async for event in lm.backend.stream(request)])
                await lm.backend.reach(1)
    first, second = streams
    assert first == second
    assert [event.type for event in first] == ["start", "delta", "end"]
    assert len(server.calls) == 1


async def test_roles_do_not_share_replies(tmp_path: Path) -> None:
    request = Request(model="scripted", messages=(Message.user("Who?"),))
    with ScriptedBackend(counting()) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            entry = models.settings.generator
            both = models.settings.model_copy(update={"sub_lm": entry.model_copy(update={"parameters": {"seed": 1}})})
            two = Backends(both)
            for _ in range(2):
                seen = two.through(cache.cell("c"))
                replies = [(await seen.lm(role).acall(request)).text for role in ("generator", "sub_lm")]
                assert replies == ["0", "1"]
            await two.aclose()


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    with ScriptedBackend(in_turn(Reply(status=500), Reply(["x"], fault="cut"), Reply(["right"]))) as server:
        async with backends(server) as models:
            with Cache(tmp_path) as cache:
                for _ in range(2):
                    with pytest.raises(dspy.LMError):
                        await asked(models, "Who?", cache)
                assert await asked(models, "Who?", cache) == await asked(models, "Who?", cache) == ["right"]
    assert len(server.calls) == 3


async def test_a_kept_reply_is_told_in_one_piece_and_whole(tmp_path: Path) -> None:
    heard: list[str] = []

    def hear(event: object) -> bool:
        if isinstance(event, StreamDeltaEvent) and isinstance(event.delta, TextDelta):
            heard.append(event.delta.text)
        return False

    request = Request(model="scripted", messages=(Message.user("Who?"),))
    reply = Reply(["a", "b\n", "ç"], reasoning=["hm"], finish_reason="length", usage=usage(7, 3, 2))
    with ScriptedBackend(in_turn(reply)) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            replies = []
            for _ in range(2):
                lm = models.through(cache.cell("c")).lm("generator")
                with listening(hear):
                    replies.append(await lm.acall(request))
    assert replies[0] == replies[1]
    assert replies[0].finish_reason == "length"
    assert heard == ["a", "b\n", "ç", "ab\nç"]
    assert len(server.calls) == 1


@in_the_jail
async def test_how_late_it_is_does_not_make_another_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedBackend(explores) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            for seconds in (600, 100):
                await answered(
                    STRATEGIES["explore-1"], TASK, models, BudgetSettings(seconds=seconds), cache=cache, cell="c"
                )
    assert len(server.calls) == 4
    assert "9 min" in str(server.calls[0].body)


async def test_cells_at_once_find_their_own(tmp_path: Path) -> None:
    with ScriptedBackend(notes) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            for _ in range(2):
                done = await asyncio.gather(
                    *(
                        answered(
                            STRATEGIES["flat"],
                            Task(FILLER * (number % 3 + 1), "?", ""),
                            models,
                            BudgetSettings(),
                            cache=cache,
                            cell=str(number),
                        )
                        for number in range(6)
                    )
                )
                assert [one.model_calls for one in done] == [1] * 6
    assert len(server.calls) == 6


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file.*choose another folder"):
        Cache(tmp_path / "file")
    (tmp_path / "replies.sqlite").write_text("no database " * 100)
    with pytest.raises(ConfigurationError, match="choose another folder"):
        Cache(tmp_path)


async def test_replies_are_on_disk_when_they_are_given(tmp_path: Path) -> None:
    with ScriptedBackend(counting()) as server, Cache(tmp_path) as cache:
        async with backends(server) as models:
            await asked(models, "How many?", cache, times=3)
        assert kept(tmp_path) == 3
