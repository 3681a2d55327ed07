"""What a cell's calls are counted as, whoever makes them."""

from __future__ import annotations

import sys

import dspy
import pytest
from dspy.lm15 import Message, Request

from evals.metering import Meter
from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from evals.strategies import STRATEGIES
from evals.strategies.answering import answered
from programs import RANTS
from programs.backends import calling
from programs.events import ModelAnswered
from programs.rants import session_of
from programs.settings import BudgetSettings, LoopSettings
from programs.transcript import Usage
from tests.evals.strategies import SHORT, SUB, TASK, backends, dspy_writes, explores, prompt

in_the_jail = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")


def request(said: str) -> Request:
    return Request(model="scripted", messages=(Message.user(said),))


@in_the_jail
async def test_the_meter_counts_what_a_run_says_that_it_has_used() -> None:
    meter = Meter()
    with ScriptedBackend(explores) as server:
        async with backends(server) as models:
            rants = RANTS(models.through(meter.around), LoopSettings(mode="explore"))
            done = await rants.acall(question=TASK.question, context=TASK.context)
            session = [event async for event in rants.run(session_of(TASK.question, TASK.context))]
            measured = [event for event in session if isinstance(event, ModelAnswered)]
    assert meter.usage == done.usage + done.usage == Usage(prompt=920, completion=92, cached=200)
    assert meter.model_calls == len(server.calls) == 2 * len(measured) == 8


@in_the_jail
async def test_the_calls_of_dspy_rlm_are_counted_alike() -> None:
    with ScriptedBackend(dspy_writes) as server:
        async with backends(server) as models:
            done = await answered(STRATEGIES["dspy-rlm"], TASK, models, BudgetSettings())
    assert done.usage == Usage(prompt=460, completion=46, cached=100)
    assert done.model_calls == len(server.calls) == 4
    assert sum(prompt(call.body).startswith(SUB) for call in server.calls) == 2


async def test_tokens_are_estimated_where_the_backend_tells_none() -> None:
    meter = Meter()
    with ScriptedBackend(in_turn(Reply(["12345678"]))) as server:
        async with backends(server) as models:
            await models.through(meter.around).lm("generator").acall(request("1234" * 10))
    assert meter.usage == Usage(prompt=10, completion=2, estimated=True)


async def test_a_call_that_failed_is_counted_with_what_it_had_written() -> None:
    meter = Meter()
    told: list[int] = []
    broken = Reply(["12345678"], fault="cut")
    with ScriptedBackend(in_turn(Reply(status=500), broken, Reply(["x"], usage=usage(3, 1)))) as server:
        async with backends(server) as models:
            lm = models.through(meter.around).lm("generator")
            with calling(within=9, lost=told.append):
                for _ in range(2):
                    with pytest.raises(dspy.LMError):
                        await lm.acall(request("1234" * 10))
            await lm.acall(request("1234"))
    assert told == [2]  # and whoever else wants to know it
    assert meter.model_calls == 3
    assert meter.usage == Usage(prompt=13, completion=3, estimated=True)


async def test_a_meter_leaves_the_backends_as_they_were() -> None:
    meter = Meter()
    with ScriptedBackend(in_turn(Reply(["x"]))) as server:
        async with backends(server) as models:
            assert models.through(meter.around).window("generator") == models.window("generator")
            await models.lm("generator").acall(request("Hello"))
            await answered(STRATEGIES["flat"], SHORT, models, BudgetSettings())
    assert meter.model_calls == 0
