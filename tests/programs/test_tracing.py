"""The spans of runs, as the SDK's own exporter takes them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import StatusCode

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from programs import RANTS, Backends, Session
from programs.environment import HostFunctionFailed
from programs.errors import BackendUnavailable
from programs.events import Event
from programs.settings import BudgetSettings, LoopSettings, ModelSettings, ModelsSettings, ResilienceSettings
from programs.tools import Caller
from programs.tracing import Tracing
from programs.transcript import Tool, Tools
from tests.programs.test_explore import code, writes
from tests.programs.test_steps import GATEWAY, NoTodos, Workshop, says, wants
from tests.support import eventually

type Tree = tuple[str, list[Tree]]

SECRET = "The code is 4711."


@dataclass
class Bench:
    """A program over a scripted model, and the spans of its runs."""

    model: ScriptedBackend
    backends: Backends
    folder: Path
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    content: bool = False

    def __post_init__(self) -> None:
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def rants(self, **settings: Any) -> RANTS:
        tracing = Tracing(self.provider.get_tracer("test"), content=self.content)
        rants = RANTS(self.backends, LoopSettings(**settings), runner=Workshop(), tracing=tracing)
        rants.explore.write.demos = []
        return rants

    async def run(self, question: str = "What?", context: str | None = None, **settings: Any) -> list[Event]:
        session = Session.asking("s", question, context)
        async with aclosing(self.rants(**settings).run(session)) as events:
            return [event async for event in events]

    async def use_tools(self, gateway: tuple[Tool, ...] = GATEWAY) -> None:
        session = Session("s", Session.asking("s", "Question?", None).transcript, tools=Tools(gateway=gateway))
        caller = Caller("ada", "s", self.folder, NoTodos())
        async with aclosing(self.rants(mode="direct").run(session, caller=caller)) as events:
            async for _ in events:
                pass

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, beginning: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(beginning)]

    def about(self, beginning: str) -> dict[str, Any]:
        """The attributes of the one span whose name begins so."""
        (span,) = self.named(beginning)
        return dict(span.attributes or {})


@pytest.fixture
def model() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(in_turn(Reply(["Hel", "lo."], usage=usage(9, 2, 4)))) as backend:
        yield backend


@pytest.fixture
async def bench(model: ScriptedBackend, tmp_path: Path) -> AsyncIterator[Bench]:
    entry = ModelSettings(base_url=model.base_url, model="scripted", context_window=8000)
    backends = Backends(ModelsSettings(generator=entry), ResilienceSettings(max_retries=0))
    yield Bench(model, backends, tmp_path)
    await backends.aclose()


def tree(spans: Sequence[ReadableSpan]) -> list[Tree]:
    """The names of spans, each with what lies below it, in the order in which they began."""

    def below(parent: int | None) -> list[Tree]:
        ours = [span for span in spans if (span.parent.span_id if span.parent else None) == parent]
        ours.sort(key=lambda span: span.start_time or 0)
        return [(span.name, below(span.context.span_id if span.context else None)) for span in ours]

    return below(None)


CHAT = "chat scripted"
AGENT = "invoke_agent rants-one"


async def test_a_direct_run_is_a_session_a_step_and_a_call(bench: Bench) -> None:
    await bench.run(mode="direct")
    assert tree(bench.spans) == [(AGENT, [("step", [(CHAT, [])])])]
    call, session = bench.about("chat"), bench.about("invoke_agent")
    cost = {
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 4,
    }
    assert call.items() >= cost.items()
    assert session.items() >= cost.items()
    assert (call["gen_ai.operation.name"], session["gen_ai.operation.name"]) == ("chat", "invoke_agent")
    assert (call["gen_ai.provider.name"], call["gen_ai.request.model"]) == ("openai", "scripted")
    assert call["gen_ai.response.model"] == "scripted"
    assert (call["rants.role"], call["gen_ai.response.finish_reasons"]) == ("generator", ("stop",))
    assert (session["gen_ai.conversation.id"], session["rants.outcome"]) == ("s", "completed")


@pytest.mark.parametrize("environment", ["jail", "monty"])
async def test_what_code_calls_lies_below_its_turn(bench: Bench, environment: str) -> None:
    script = writes("a = llm_query('Ask')\nb = rlm_query('Child', 'short')\nSUBMIT(a + b)")
    asked = ("Ask", "Child")
    bench.model.script = lambda body: (
        Reply(["said"]) if body["messages"][-1]["content"].endswith(asked) else script(body)
    )
    await bench.run(context=SECRET * 5000, environment=environment)
    ((root, [(step, below)]),) = tree(bench.spans)
    assert (root, step) == (AGENT, "step")
    turn: Tree = ("environment turn", [(CHAT, []), (AGENT, [(CHAT, [])])])
    assert sorted(below) == [(CHAT, []), ("environment open", []), turn]
    sessions = {str((span.attributes or {})["gen_ai.conversation.id"]) for span in bench.named("invoke_agent")}
    assert {name[:4] for name in sessions} == {"s", "s/1."}


async def test_a_tool_lies_below_its_step_and_a_task_below_its_tool(bench: Bench) -> None:
    script = says(wants(("add", {"of": [1, 2]}), ("task", {"question": "Deeper?"})), Reply(["Done."]))
    bench.model.script = lambda body: Reply(["Deep."]) if body["messages"][-1]["content"] == "Deeper?" else script(body)
    await bench.use_tools()
    ((_, [first, second]),) = tree(bench.spans)
    by_name = dict(first[1])
    assert by_name["execute_tool add"] == []
    ((child, [step]),) = by_name["execute_tool task"]
    assert (child, step[0]) == (AGENT, "step")
    assert [name for name, _ in second[1]] == [CHAT]
    about = bench.about("execute_tool add")
    assert (about["gen_ai.operation.name"], about["gen_ai.tool.name"]) == ("execute_tool", "add")
    assert about["gen_ai.tool.call.id"]


async def test_a_tool_that_fails_says_so(bench: Bench) -> None:
    bench.model.script = says(wants(("fail", {})), Reply(["Well."]))
    await bench.use_tools()
    (span,) = bench.named("execute_tool")
    assert span.status.status_code is StatusCode.ERROR
    assert bench.about("execute_tool")["error.type"] == "tool_failed"
    assert bench.named("invoke_agent")[0].status.status_code is StatusCode.UNSET


async def test_a_run_that_fails_names_the_error_up_to_its_root(bench: Bench) -> None:
    bench.model.script = in_turn(Reply(status=500, error={"message": SECRET}))
    with pytest.raises(BackendUnavailable):
        await bench.run(mode="direct")
    assert {span.name: span.status.status_code for span in bench.spans} == dict.fromkeys(
        (AGENT, "step", CHAT), StatusCode.ERROR
    )
    assert {dict(span.attributes or {})["error.type"] for span in bench.spans} == {"BackendUnavailable"}
    assert SECRET not in "".join(span.to_json() for span in bench.spans)


async def test_what_is_cancelled_ends_and_says_so(bench: Bench) -> None:
    bench.model.script = in_turn(Reply(fault="hang"))
    waiting = asyncio.ensure_future(bench.run(mode="direct"))
    await asyncio.to_thread(eventually, lambda: bench.model.calls)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [span.name for span in bench.spans] == [CHAT, "step", AGENT]
    assert {dict(span.attributes or {})["error.type"] for span in bench.spans} == {"cancelled"}


async def test_a_budget_that_ends_is_a_reason_and_no_error(bench: Bench) -> None:
    bench.model.script = writes("x = 1")
    await bench.run(context=SECRET, mode="explore", max_iterations=5, budget=BudgetSettings(iterations=1))
    session = bench.about("invoke_agent")
    assert (session["rants.outcome"], session["rants.reason"]) == ("completed", "budget_iterations")
    assert bench.named("invoke_agent")[0].status.status_code is StatusCode.UNSET


async def test_runs_beside_each_other_do_not_mix(bench: Bench) -> None:
    bench.model.script = lambda body: Reply(["Hello."], delay=0.01)
    await asyncio.gather(*(bench.run(mode="direct") for _ in range(20)))
    assert tree(bench.spans) == [(AGENT, [("step", [(CHAT, [])])])] * 20
    assert len({span.context.trace_id for span in bench.spans if span.context}) == 20


@pytest.mark.parametrize("content", [False, True])
async def test_spans_hold_what_was_said_only_where_that_is_wanted(bench: Bench, content: bool) -> None:
    bench.content = content
    bench.model.script = says(wants(("add", {"of": [4711]}), text=SECRET), Reply([SECRET]))
    await bench.use_tools()
    bench.model.script = writes(f"print({SECRET!r})\nSUBMIT({SECRET!r})")
    await bench.run(question=SECRET, context=SECRET, mode="explore")
    told = {key for span in bench.spans for key, value in (span.attributes or {}).items() if "4711" in str(value)}
    wanted = {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "rants.code",
        "rants.observation",
    }
    assert told == (wanted if content else set())


async def test_a_run_that_is_not_sampled_has_no_spans_at_all(bench: Bench) -> None:
    bench.provider = TracerProvider(sampler=TraceIdRatioBased(0.0))
    bench.provider.add_span_processor(SimpleSpanProcessor(bench.exporter))
    await bench.run(mode="direct")
    assert bench.spans == []


async def test_code_that_raises_is_told_by_the_class_of_its_error(bench: Bench) -> None:
    bench.model.script = in_turn(Reply([code("1 / 0")]), Reply([code("SUBMIT('done')")]))
    await bench.run(context=SECRET, mode="explore")
    first, second = sorted(bench.named("environment turn"), key=lambda span: span.start_time or 0)
    assert dict(first.attributes or {})["error.type"] == "ZeroDivisionError"
    assert second.status.status_code is StatusCode.UNSET


async def test_without_an_sdk_nothing_is_made_and_nothing_breaks(bench: Bench) -> None:
    rants = copy.deepcopy(RANTS(bench.backends))
    assert (await rants.acall(question="Hello?")).text == "Hello."


def test_an_error_leaves_a_span_as_it_is() -> None:
    with pytest.raises(HostFunctionFailed, match="gone"), Tracing().span("any"):
        raise HostFunctionFailed("gone")
