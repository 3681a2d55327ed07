"""What can be optimised: which predictors, by which model they are asked, and the jobs by which they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

from evals.benchmarks import Benchmark
from evals.optimize.work import Done, Job
from evals.tasks import Task
from evals.tools.cases import Case
from evals.tools.score import why_wrong
from programs import RANTS, Message, Session, Transcript, outline
from programs.backends import Role
from programs.context import shorten
from programs.errors import ConfigurationError
from programs.events import RunDone, StepDone
from programs.transcript import ToolCall, Tools

type Mode = Literal["explore", "direct"]

_REPLY = 200  # tokens of it in a feedback
_DONE = 1000  # tokens of what was done


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can be optimised.

    Attributes:
        name: on the command line.
        role: of the model whose prompts it changes; a teacher plays it in its place.
        asked: the predictors that are optimised with a benchmark; none where there is none for it.
        compiled: the predictors that are optimised with cases of tool calls.
        mode: in which RANTS does a benchmark's tasks.
    """

    name: str
    role: Role
    asked: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    mode: Mode = "direct"


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("explore", "code_interpreter", asked=("explore.write",), mode="explore"),
        Target("compile-tools", "tool_compiler", compiled=("tool_compiler.compile", "tool_compiler.split")),
        Target("generate", "generator", asked=("direct.generate",), compiled=("direct.act",)),
    )
}


def target_of(name: str) -> Target:
    """The target of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in TARGETS:
        raise ConfigurationError(f"{name!r} cannot be optimised; {', '.join(TARGETS)} can")
    return TARGETS[name]


def asked(benchmark: Benchmark, task: Task) -> Job:
    """The job to answer a benchmark's task, in whichever mode the program has."""

    async def do(rants: RANTS) -> Done:
        said = await rants.aforward(question=task.question, context=task.context)
        right = benchmark.right(task, said.text)
        lines = [
            f"The question was: {task.question}",
            f"The answer was: {shorten(said.text, _REPLY)}",
            "That is right." if right else f"That is wrong. It should have been: {task.answer}",
        ]
        if said.reason is not None:
            lines.append(f"It was ended early, by {said.reason}.")
        return Done(
            benchmark.score(task, said.text), right, "\n".join([*lines, "What was done:", _told(said.trajectory)])
        )

    return do


def compiled(case: Case) -> Job:
    """The job to compile a case's intent to the right calls."""

    async def do(rants: RANTS) -> Done:
        said = await rants.tool_compiler.aforward(intent=case.intent, tools=case.tools)
        return _judged(case, said.calls, said.problem or "")

    return do


def wanted(case: Case) -> Job:
    """The job to say what is to be done for a case's user, so that it is compiled to the right calls."""

    async def do(rants: RANTS) -> Done:
        said = Transcript(messages=(Message(role="user", content=case.intent),))
        calls: Sequence[ToolCall] = ()
        words: list[str] = []
        async with aclosing(rants.run(Session("case", said, tools=Tools(client=case.tools)))) as events:
            async for event in events:
                match event:
                    case StepDone():
                        words += [event.text, *(f"TOOL_INTENT: {intent.text}" for intent in event.intents)]
                    case RunDone():
                        calls = event.calls
        return _judged(case, calls, "\n".join(words))

    return do


def _judged(case: Case, calls: Sequence[ToolCall], said: str) -> Done:
    wrong = why_wrong(case, calls)
    made = "\n".join(f"{call.name} {call.arguments}" for call in calls) or "none"
    lines = [
        f"What was wanted: {case.intent}",
        *([f"What was said: {shorten(said, _REPLY)}"] if said.strip() else []),
        f"The calls were: {shorten(made, _REPLY)}",
        "They are right." if wrong is None else f"That is wrong: {wrong}",
    ]
    return Done(float(wrong is None), wrong is None, "\n".join(lines))


def _told(trajectory: Sequence[object]) -> str:
    return shorten(outline(trajectory), _DONE)  # type: ignore[arg-type]
