"""The loop with tools: step after step, each gateway call executed once, also when a run is taken up again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.scripted import Reply, ScriptedBackend
from programs import RANTS, Backends, Message, Session, Transcript
from programs.errors import BackendUnavailable
from programs.events import Event, RunDone, StepDone, Stepped, TextDelta, ToolRan, ToolStarted, Trajectory, messages_of
from programs.settings import BudgetSettings, LoopSettings, ModelSettings, ModelsSettings, ResilienceSettings
from programs.tools import Caller, Result
from programs.transcript import Tool, ToolCall, Tools

OPEN: dict[str, Any] = {"type": "object"}
GATEWAY = tuple(
    Tool(name=name, description="Does it.", parameters=OPEN) for name in ("add", "fail", "meet", "wait", "task")
)
BROKEN = Tool(name="broken", parameters=OPEN)
CLIENT = (Tool(name="show", parameters=OPEN),)


@dataclass
class Workshop:
    """A runner: what it executed, in order, and what it does."""

    executed: list[ToolCall] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    meeting: asyncio.Barrier = field(default_factory=lambda: asyncio.Barrier(3))
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    both: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self, call: ToolCall, caller: Caller) -> Result:
        self.executed.append(call)
        self.callers.append(caller)
        if len(self.executed) == 2:
            self.both.set()
        said = json.loads(call.arguments)
        match call.name:
            case "add":
                return Result(str(sum(said["of"])), details={"count": len(said["of"])})
            case "meet":
                await self.meeting.wait()
                return Result("met")
            case "wait":
                try:
                    self.waiting.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.stopped.append(call.id)
                    raise
            case "task":
                return Result(await caller.task(call.id, said["question"]) if caller.task else "no deeper")
            case "broken":
                await self.waiting.wait()
                raise RuntimeError("a bug of ours")
        return Result("It did not work.", ok=False)


class NoTodos:
    async def read(self) -> list[dict[str, Any]]:
        return []

    async def write(self, todos: list[dict[str, Any]]) -> None:
        raise AssertionError("nobody writes here")


def wants(*calls: tuple[str, dict[str, Any]], text: str = "") -> Reply:
    """A reply that ends with these calls, written out so that no compiler is asked."""
    intents = [f"TOOL_INTENT: call {name} with {json.dumps(said)}" for name, said in calls]
    return Reply(["\n".join([text, *intents] if text else intents)])


def says(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """The generator: its reply to a conversation in which it has already spoken n times is the nth, or the last."""

    def script(body: dict[str, Any]) -> Reply:
        spoken: int = sum(message["role"] == "assistant" for message in conversation(body))
        return replies[min(spoken, len(replies) - 1)]

    return script


def conversation(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said after the demonstrations: from the question on."""
    messages: list[dict[str, Any]] = body["messages"]
    starts = [index for index, message in enumerate(messages) if message["content"].startswith("Question")]
    return messages[starts[-1] :] if starts else []


@pytest.fixture
def model() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(says(Reply(["Nothing to do."]))) as backend:
        yield backend


@pytest.fixture
async def backends(model: ScriptedBackend) -> AsyncIterator[Backends]:
    entry = ModelSettings(provider="openai", base_url=model.base_url, model="scripted", context_window=100_000)
    bound = Backends(ModelsSettings(generator=entry), ResilienceSettings(max_retries=0))
    yield bound
    await bound.aclose()


@dataclass
class Bench:
    """A program with its workshop, and how it is asked."""

    backends: Backends
    folder: Path
    shop: Workshop = field(default_factory=Workshop)
    settings: LoopSettings = field(default_factory=lambda: LoopSettings(mode="direct"))

    def run(self, *, recorded: Sequence[Trajectory] = (), client: tuple[Tool, ...] = CLIENT, **more: Any) -> Any:
        rants = RANTS(self.backends, self.settings, runner=self.shop)
        session = Session(
            "root",
            Transcript(messages=(Message(role="user", content="Question?"),)),
            tools=Tools(client=client, gateway=(*GATEWAY, BROKEN), **more),
        )
        caller = Caller("ada", "root", self.folder, NoTodos())
        return rants.run(session, recorded=recorded, caller=caller)

    async def events(self, **more: Any) -> list[Event]:
        async with aclosing(self.run(**more)) as events:
            return [event async for event in events]


@pytest.fixture
async def bench(backends: Backends, tmp_path: Path) -> Bench:
    return Bench(backends, tmp_path)


def steps_of(events: Sequence[Event]) -> list[StepDone]:
    return [event for event in events if isinstance(event, StepDone)]


def ran_in(events: Sequence[Event]) -> list[ToolRan]:
    return [event for event in events if isinstance(event, ToolRan)]


def done_of(events: Sequence[Event]) -> RunDone:
    last = events[-1]
    assert isinstance(last, RunDone)
    return last


async def test_results_are_told_and_the_run_goes_on(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(
        wants(("add", {"of": [1, 2]}), text="I add."), wants(("add", {"of": [3, 4]})), Reply(["It is 7."])
    )
    events = await bench.events()
    assert [step.step for step in steps_of(events)] == [1, 2, 3]
    assert [(ran.output, ran.ok, ran.details, ran.step) for ran in ran_in(events)] == [
        ("3", True, {"count": 2}, 1),
        ("7", True, {"count": 2}, 2),
    ]
    assert done_of(events).text == "I add.\n\nIt is 7."
    assert (done_of(events).outcome, done_of(events).calls) == ("completed", ())
    first, second, third = (call.body["messages"] for call in model.calls)
    assert second[: len(first)] == first
    assert third[: len(second)] == second
    assert third[len(first) :] == [
        {"role": "assistant", "content": 'I add.\nTOOL_INTENT: call add with {"of": [1, 2]}'},
        {"role": "user", "content": "TOOL_RESULT add:\n3"},
        {"role": "assistant", "content": 'TOOL_INTENT: call add with {"of": [3, 4]}'},
        {"role": "user", "content": "TOOL_RESULT add:\n7"},
    ]
    assert {(caller.tenant, caller.session) for caller in bench.shop.callers} == {("ada", "root")}


async def test_a_tool_is_executed_after_all_before_it_was_taken(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("add", {"of": [1]})), Reply(["Done."]))
    async with aclosing(bench.run()) as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                await asyncio.sleep(0)
                assert bench.shop.executed == []
            if isinstance(event, ToolRan):
                assert [call.id for call in bench.shop.executed] == [event.call.id]


async def test_who_stops_reading_at_the_start_of_a_tool_has_not_started_it(
    bench: Bench, model: ScriptedBackend
) -> None:
    model.script = says(wants(("add", {"of": [1]})), Reply(["Done."]))
    async with aclosing(bench.run()) as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                break
    assert bench.shop.executed == []


async def test_the_calls_of_a_step_run_at_once_and_are_told_in_order(bench: Bench, model: ScriptedBackend) -> None:
    # Each of the three waits for the other two.
    model.script = says(wants(*[("meet", {"n": n}) for n in range(3)]), Reply(["Met."]))
    events = await bench.events()
    assert sorted(json.loads(ran.call.arguments)["n"] for ran in ran_in(events)) == [0, 1, 2]
    told = [turn["content"] for turn in conversation(model.calls[-1].body)]
    assert told[-1].count("TOOL_RESULT meet:\nmet") == 3
    assert done_of(events).text == "Met."
    assert [message.tool_call_id for message in messages_of(events) if message.role == "tool"] == [
        ran.call.id for ran in ran_in(events)
    ]


async def test_a_tool_that_fails_is_told_and_the_run_goes_on(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("fail", {})), Reply(["It failed."]))
    events = await bench.events()
    assert [(ran.ok, ran.output) for ran in ran_in(events)] == [(False, "It did not work.")]
    assert conversation(model.calls[-1].body)[-1]["content"] == "TOOL_RESULT fail:\nIt did not work."
    assert done_of(events).text == "It failed."


async def test_with_calls_of_both_kinds_ours_are_executed_and_the_client_s_end_the_run(
    bench: Bench, model: ScriptedBackend
) -> None:
    model.script = says(wants(("add", {"of": [1]}), ("show", {"what": "a"}), text="Both."))
    events = await bench.events()
    assert [call.name for call in bench.shop.executed] == ["add"]
    assert [call.name for call in done_of(events).calls] == ["show"]
    assert len(model.calls) == 1
    said, result = messages_of(events)
    assert [call.name for call in said.tool_calls] == ["add", "show"]
    assert (result.tool_call_id, result.content) == (said.tool_calls[0].id, "1")


async def test_a_client_s_tool_of_the_same_name_is_the_client_s(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("add", {"of": [1]})))
    events = await bench.events(client=(Tool(name="add", parameters=OPEN),))
    assert ([call.name for call in done_of(events).calls], bench.shop.executed) == (["add"], [])


async def test_a_call_that_is_not_offered_is_a_problem_in_words(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(
        Reply(['TOOL_INTENT: call rm with {"path": "/"}\nTOOL_INTENT: call add with {"of": [1]}']), Reply(["Well."])
    )
    generator = model.script
    model.script = lambda body: generator(body) if conversation(body) else Reply(["I know no rm."])
    events = await bench.events()
    assert [call.name for call in bench.shop.executed] == ["add"]
    problem = steps_of(events)[0].problem
    assert problem is not None
    assert conversation(model.calls[-1].body)[-1]["content"].count("TOOL_RESULT") == 2


async def test_after_the_last_step_the_generator_answers_without_tools(bench: Bench, model: ScriptedBackend) -> None:
    bench.settings = LoopSettings(mode="direct", max_steps=3)
    model.script = lambda body: (
        wants(("add", {"of": [1]})) if "Tools:" in body["messages"][0]["content"] else Reply(["Enough."])
    )
    events = await bench.events()
    assert len(bench.shop.executed) == 3
    assert [step.step for step in steps_of(events)] == [1, 2, 3, 4]
    assert done_of(events).text == "Enough."


async def test_a_run_that_is_closed_stops_its_tools(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("wait", {"n": 1}), ("wait", {"n": 2})))
    events: Any = bench.run()
    reading = asyncio.create_task(anext_ran(events))
    await bench.shop.both.wait()
    reading.cancel()
    await asyncio.wait([reading])
    await events.aclose()
    assert sorted(bench.shop.stopped) == sorted(call.id for call in bench.shop.executed)


async def anext_ran(events: Any) -> None:
    async for event in events:
        assert not isinstance(event, ToolRan)


async def test_a_bug_in_a_tool_ends_the_run_and_what_runs_beside_it(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("wait", {}), ("broken", {})))
    with pytest.raises(RuntimeError, match="a bug of ours"):
        await bench.events()
    assert len(bench.shop.stopped) == 1


async def test_a_model_that_fails_after_a_tool_has_run_fails_the_run(bench: Bench, model: ScriptedBackend) -> None:
    model.script = says(wants(("add", {"of": [1]})), Reply(status=500))
    with pytest.raises(BackendUnavailable):
        await bench.events()
    assert len(bench.shop.executed) == 1


def playing_children(body: dict[str, Any]) -> Reply:
    """A task asks a task, as deep as it may, and each adds."""
    said = conversation(body)
    spoken = sum(message["role"] == "assistant" for message in said)
    depth = said[0]["content"].count("?")
    if not spoken:
        task = ("task", {"question": said[0]["content"] + "?"})
        return wants(*[task] * ("- task" in body["messages"][0]["content"]), ("add", {"of": [depth]}))
    return Reply([f"Answer {depth}."])


async def test_a_task_is_a_child_session_with_the_same_gateway_tools(bench: Bench, model: ScriptedBackend) -> None:
    model.script = playing_children
    bench.settings = LoopSettings(mode="direct", max_depth=2)
    events = await bench.events()
    sessions = [step.session for step in steps_of(events)]
    depths = {session: session.count("/") for session in sessions}
    assert sorted(depths.values()) == [0, 1, 2]
    assert done_of(events).text.startswith("Answer 1.")
    # Only what the root says is told to the user.
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == done_of(events).text
    assert [caller.task is None for caller in bench.shop.callers if caller.session.count("/") == 2] == [True]
    # Children are not offered the client's tools.
    child = next(call.body for call in model.calls if conversation(call.body)[0]["content"] == "Question??")
    assert "- show" not in child["messages"][0]["content"]
    assert "- add" in child["messages"][0]["content"]
    assert done_of(events).usage == sum((step.usage for step in steps_of(events)[1:]), steps_of(events)[0].usage)


async def test_a_budget_that_is_spent_in_the_middle_ends_the_run(bench: Bench, model: ScriptedBackend) -> None:
    bench.settings = LoopSettings(mode="direct", budget=BudgetSettings(model_calls=2))
    model.script = says(wants(("add", {"of": [1]}), text="One."), wants(("add", {"of": [2]}), text="Two."))
    done = done_of(events := await bench.events())
    assert (done.outcome, done.reason, done.text) == ("incomplete", "budget_model_calls", "One.\n\nTwo.")
    assert len(bench.shop.executed) == len(ran_in(events)) == 2


async def test_a_budget_that_a_child_spends_ends_the_whole_run(bench: Bench, model: ScriptedBackend) -> None:
    bench.settings = LoopSettings(mode="direct", max_depth=2, budget=BudgetSettings(model_calls=2))
    model.script = playing_children
    done = done_of(await bench.events())
    assert (done.outcome, done.reason) == ("incomplete", "budget_model_calls")
    assert len(model.calls) == 2


SCRIPTS = {
    "one after the other": says(
        wants(("add", {"of": [1]}), text="I add."), wants(("add", {"of": [2]}), text="Again."), Reply(["Done."])
    ),
    "several at once": says(wants(*[("add", {"of": [n]}) for n in range(3)]), Reply(["Done."])),
    "with the client's": says(wants(("add", {"of": [1]}), ("show", {"what": "a"}))),
    "children": playing_children,
    "failures": says(wants(("fail", {})), wants(("fail", {}), ("add", {"of": [1]})), Reply(["Done."])),
}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
async def test_from_wherever_a_run_is_taken_up_nothing_is_started_twice(
    bench: Bench, model: ScriptedBackend, script: Any
) -> None:
    bench.settings = LoopSettings(mode="direct", max_depth=2)
    model.script = script
    whole = await bench.events()
    recorded = [event for event in whole if isinstance(event, Trajectory)]
    assert all(isinstance(event, Stepped) for event in recorded)
    for length in range(len(recorded) + 1):
        before = recorded[:length]
        bench.shop = Workshop()
        model.requests = []
        events = await bench.events(recorded=before)
        started = {event.call.id for event in before if isinstance(event, ToolStarted)}
        assert not started & {call.id for call in bench.shop.executed}
        ids = [call.id for call in bench.shop.executed]
        assert len(ids) == len(set(ids))
        # What is recorded is not told again, nor paid for.
        assert not set(map(id, before)) & set(map(id, events))
        asked = [event for event in events if isinstance(event, StepDone)]
        assert len(model.calls) == len(asked)
        done = done_of(events)
        assert done.outcome == "completed"
        # Every call has exactly one result, and one that was cut off says so. A task that was cut off is not gone on
        # with, nor what was cut off within it.
        both = [*before, *events]
        ours = [event for event in both if isinstance(event, Stepped) and event.session == "root"]
        ran = [event.call.id for event in ours if isinstance(event, ToolRan)]
        begun = [event.call.id for event in ours if isinstance(event, ToolStarted)]
        assert sorted(ran) == sorted(begun)
        lost = (started & set(begun)) - {event.call.id for event in before if isinstance(event, ToolRan)}
        assert {event.call.id for event in ran_in(events) if "server stopped" in event.output} == lost
        assert done.usage == sum((event.usage for event in both if isinstance(event, Stepped)), done.usage - done.usage)
        if not lost:
            assert done.text == done_of(whole).text
            assert [call.name for call in done.calls] == [call.name for call in done_of(whole).calls]
