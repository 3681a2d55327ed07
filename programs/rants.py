"""RANTS, the loop (arXiv 2512.24601).

RANTS(session) -> events
  1  bind the budget, and what was recorded of an earlier attempt
  2  C fits comfortably in the generator's window -> DIRECT: one streamed Generate call on native chat messages
     else -> EXPLORE: code over the environment that holds C, until it submits or the budget ends; that code calls
     models, and opens child sessions, each of which is this loop again
  3  the text goes to the user as it is written; tool intents and thinking are held back
  4  no intent -> done. Intent -> the tool compiler -> valid calls, or the problem in words
  5  gateway tools: execute, append results, go to 2. Client tools: hand them over and end the run
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy

from programs.adapter import NativeAdapter
from programs.backends import Backends, run_sync
from programs.budget import Budget
from programs.context import size_of
from programs.direct import Direct, insisted
from programs.environment import Environment, shared
from programs.errors import BudgetSpent, ContextTooLong, InvalidRequest
from programs.events import Event, RunDone, StepDone, TextDelta, Trajectory, messages_of
from programs.execution import executed
from programs.explore import Explore
from programs.program import load_program
from programs.recorded import Recorded
from programs.settings import LoopSettings
from programs.splitter import split
from programs.together import together
from programs.tool_compiler import ToolCompiler
from programs.tool_outline import telling
from programs.tools import Caller, Runner
from programs.tracing import Tracing, costs
from programs.transcript import (
    BYTES_PER_TOKEN,
    Context,
    FinishReason,
    Message,
    Sampling,
    Session,
    ToolCall,
    ToolIntent,
    Tools,
    Transcript,
    estimate_tokens,
)
from programs.tree import Answer, Tree
from programs.vision import Vision

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_COMFORTABLE = 0.6  # of the window; the rest is for the reply, and for what a rough count of tokens misses
_WORTH_EXPLORING = 2048  # tokens: less than what Explore's own prompt takes
_PIECE = 1024  # characters of an answer that is there at once, in one delta
_MOST_INTENTS = 32  # of one step
_MOST_MISSES = 2  # steps in a row that led to nothing new; then the generator is to answer without tools
_IN_ANSWERS = """To have something done, end the text that you SUBMIT with a line that begins with TOOL_INTENT: and says
in plain English what to do. Exact text goes below it as a block, between lines <<<NAME and >>>NAME. What came of it is
told after TOOL_RESULT. Tools:"""


class RANTS(dspy.Module):  # type: ignore[misc]
    """A Recursive Language Model as a DSPy Module.

    `run` is the loop; calling the module folds it into a `dspy.Prediction`:

        rants = RANTS(Backends())
        rants(question="Who signed it?", context=Path("long.txt").read_text()).text

    Args:
        backends: the models by role. None takes the LM that `dspy.configure(lm=...)` set.
        settings: how the loop runs.
        environment: where the models' code runs. None takes the one that `settings` names, shared by all of this
            process.
        runner: executes gateway tools; None where no session has any.
        tracing: makes the spans of runs; None takes what this process has installed of OpenTelemetry, if it has.
        program: a file with instructions and demonstrations, as `rants optimize` writes them; None takes our own.

    Raises:
        ConfigurationError: the program does not fit.
    """

    def __init__(
        self,
        backends: Backends | None = None,
        settings: LoopSettings | None = None,
        environment: Environment | None = None,
        runner: Runner | None = None,
        tracing: Tracing | None = None,
        *,
        program: Path | None = None,
    ) -> None:
        super().__init__()
        self.backends = backends
        self.settings = settings or LoopSettings()
        self.direct = Direct()
        self.explore = Explore()
        self.vision = Vision()
        self.tool_compiler = ToolCompiler(backends)
        self.runner = runner
        self.tracing = tracing or Tracing()
        self._environment = environment
        if program is not None:
            load_program(self, program)

    @property
    def environment(self) -> Environment:
        """Where the models' code runs. It starts with the first session that needs it, or by its `start`."""
        return self._environment or shared(self.settings.environment)

    def bind(self, backends: Backends) -> None:
        """Use other models for the runs that begin from now on."""
        self.backends = self.tool_compiler.backends = backends

    async def run(
        self,
        session: Session,
        sampling: Sampling | None = None,
        *,
        recorded: Iterable[Trajectory] = (),
        caller: Caller | None = None,
    ) -> AsyncGenerator[Event]:
        """Run the loop over `session`: its exploration, text as it is written, each step, and last a `RunDone`.

        Closing the generator cancels everything the run has started.

        Args:
            session: what was said, and the context, if there is one.
            sampling: how the user wants the answer.
            recorded: what an earlier attempt at this run has emitted. It is taken as done: not emitted, done or paid
                for again.
            caller: on whose behalf gateway tools run; needed where the session has some.

        A gateway tool is executed only when all events before it were taken, up to its `ToolStarted`, and the next one
        is asked for: so that who writes them down can do so first.

        Raises:
            ContextTooLong: in DIRECT, the conversation does not fit the generator's window.
            InvalidRequest: the reply should fit a schema, and the generator cannot be held to one.
            BackendError: a model did not answer as it should.
            EnvironmentUnavailable: the context has to be explored, and there is no sandbox.
        """
        events: asyncio.Queue[Event | asyncio.Event | None] = asyncio.Queue()
        done = Recorded(recorded)

        async def settled() -> None:
            taken = asyncio.Event()
            events.put_nowait(taken)
            await taken.wait()

        tree = Tree(
            backends=self.backends,
            settings=self.settings,
            sampling=sampling or Sampling(),
            environment=lambda: self.environment,
            budget=Budget(self.settings.budget, spent=done.spent),
            recorded=done,
            tell=events.put_nowait,
            settled=settled,
            caller=caller,
            tracing=self.tracing,
        )
        task = asyncio.create_task(self._loop(session, tree))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                if isinstance(event, asyncio.Event):
                    event.set()
                else:
                    yield event
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # was raised above, or nobody is left to be told

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """`aforward` for code that is not async; also works inside a notebook's running event loop."""
        return run_sync(self.aforward(**inputs))

    async def aforward(
        self,
        question: str | None = None,
        context: Context | None = None,
        messages: Sequence[dict[str, Any]] | None = None,
        sampling: Sampling | None = None,
    ) -> dspy.Prediction:
        """Answer `question`, about `context` where one is given; or continue `messages`, in chat form.

        Returns:
            A prediction with `text`, `tool_intents`, `calls` of the client's tools, `outcome`, `reason`, `usage`, and
            `trajectory`: what the run did, in order.

        Raises:
            InvalidRequest: neither a question nor messages.
            ContextTooLong, InvalidRequest, BackendError, EnvironmentUnavailable: as `run`.
        """
        intents: list[Any] = []
        trajectory: list[Trajectory] = []
        async with aclosing(self.run(session_of(question, context, messages), sampling)) as events:
            async for event in events:
                match event:
                    case RunDone():
                        done = event
                    case _ if isinstance(event, Trajectory):
                        trajectory.append(event)
                        if isinstance(event, StepDone):
                            intents.extend(event.intents)
        return dspy.Prediction(
            text=done.text,
            tool_intents=intents,
            calls=done.calls,
            outcome=done.outcome,
            reason=done.reason,
            usage=done.usage,
            trajectory=trajectory,
        )

    async def _loop(self, session: Session, tree: Tree) -> None:
        """The run, into events."""
        with tree.tracing.session(session, self.settings.name) as span:
            done = await self._outcome(session, tree)
            if span.is_recording():
                span.set_attributes(costs(done.usage) | {"rants.outcome": done.outcome})
                if done.reason is not None:
                    span.set_attribute("rants.reason", done.reason)
                said = [{"role": "assistant", "content": done.text}]
                span.set_attributes(tree.tracing.said("gen_ai.output.messages", said))
        tree.emit(done)

    async def _outcome(self, session: Session, tree: Tree) -> RunDone:
        """The run's end, after everything else that it emits."""
        self._check_format(tree.sampling)
        try:
            # Entered in this task alone: a dspy context must not be held across a yield to the client. The trajectory
            # tells more than dspy's history, which would keep every prompt.
            with dspy.context(adapter=NativeAdapter(), disable_history=True):
                last = await self._steps(session, tree)
        except BudgetSpent as stop:
            return RunDone("incomplete", tree.text, tree.budget.usage, stop.what)
        if not last.calls and (cut := _INCOMPLETE.get(last.finish_reason)) is not None:
            return RunDone("incomplete", tree.text, tree.budget.usage, cut)
        calls = self._clients(last, session)
        return RunDone("completed", tree.text, tree.budget.usage, last.reason, calls=calls)

    async def _steps(self, session: Session, tree: Tree) -> StepDone:
        """Step after step, until nothing is left to do here. Gives the last one."""
        misses, wanted = 0, tuple[ToolIntent, ...]()
        for step in itertools.count(1):
            with tree.tracing.span("step", {"rants.step": step, "gen_ai.conversation.id": session.id}):
                done = tree.recorded.step(session.id, step)
                if done is None:
                    done = await self._step(session, step, tree)
                    tree.emit(done)
                elif session.depth == 0:
                    tree.said += [[done.text], []]
                ran = await executed(done, session, tree, self.runner, self._steps) if self.runner else []
            if self._clients(done, session) or not (done.calls or done.problem):
                return done
            if done.finish_reason == "length" and not done.calls:
                return done
            # A weak model may want the same for ever, whatever it is told.
            again = done.intents == wanted and not self._clients(done, session)
            misses = misses + 1 if done.problem or again else 0
            wanted = done.intents
            tools = session.tools.model_copy(update={"choice": "auto", "named": None})
            if misses == _MOST_MISSES or step == self.settings.max_steps:
                tools = Tools()
            session = replace(session, transcript=session.transcript.append(*messages_of([done, *ran])), tools=tools)
        raise AssertionError("a step without tools is the last")

    async def _step(self, session: Session, step: int, tree: Tree) -> StepDone:
        """One turn: what the generator says, and the calls that its intents compile to."""
        at, start = time.time(), time.perf_counter()
        named = session if step == 1 else replace(session, id=f"{session.id}+{step}")
        answer = await self._answer(named, tree)
        most = _MOST_INTENTS if session.tools.parallel else 1
        intents = answer.intents[:most]
        if answer.finish_reason == "stop":
            # A block that the model has not closed when it was done ends there; one that was cut off is not all there.
            intents = tuple(intent.model_copy(update={"complete": True}) for intent in intents)
        said = session.transcript.messages
        wanted = intents if session.tools.offered else ()
        compiled = await together(self.tool_compiler.calls(intent, session.tools, said, tree) for intent in wanted)
        problems = [one.problem for one in compiled if one.problem is not None]
        if session.tools.parallel and len(answer.intents) > most:
            problems.append(f"Of {len(answer.intents)} intents only the first {most} were read. Want less at once.")
        return StepDone(
            session=session.id,
            step=step,
            text=answer.text,
            intents=intents,
            calls=tuple(call for one in compiled for call in one.calls),
            problem="\n".join(problems) if problems else None,
            finish_reason=answer.finish_reason,
            reason=answer.reason,
            usage=tree.budget.usage - tree.told,
            at=at,
            seconds=time.perf_counter() - start,
        )

    def _clients(self, done: StepDone, session: Session) -> tuple[ToolCall, ...]:
        """The calls of a step that the client executes."""
        theirs = {tool.name for tool in session.tools.client}
        return tuple(call for call in done.calls if call.name in theirs)

    async def _answer(self, session: Session, tree: Tree) -> Answer:
        """What a session answers, whatever its depth. The root's text is told as soon as it is there."""
        session = await self.vision.told(session, tree)
        mode = self.settings.mode
        window = tree.window("generator")
        whole = telling(session)
        size = await asyncio.to_thread(size_of, whole) if session.context is not None else size_of(whole)
        if mode == "direct" and size > window:
            raise ContextTooLong(
                f"The conversation is about {size} tokens long; the generator's window holds {window}. Send less of"
                " it, configure a generator with a larger context_window, or leave out mode: direct."
            )
        if mode == "direct" or (mode == "auto" and size <= _COMFORTABLE * window):
            try:
                return await self.direct.answer(session, tree, size)
            except ContextTooLong:
                # The count was too rough, or nobody had said how long the window is. Nothing was told yet.
                if mode == "direct" or size < _WORTH_EXPLORING:
                    raise
        offered = session.tools.offered
        answer = await self.explore.answer(telling(session, _IN_ANSWERS), tree, self._answer, self.vision)
        if session.depth > 0 and not offered:
            return answer
        text, intents = await asyncio.to_thread(split, answer.text, [tool.name for tool in offered])
        text, finish_reason = shortened(text, tree.sampling)
        said = insisted(Answer(text, answer.reason, finish_reason or answer.finish_reason, intents), session)
        if session.depth == 0:
            for start in range(0, len(said.text), _PIECE):
                tree.emit(TextDelta(said.text[start : start + _PIECE]))
        return said

    def _check_format(self, sampling: Sampling) -> None:
        if sampling.response_format and self.backends and not self.backends.can("generator", "json_schema"):
            raise InvalidRequest(
                "The generator cannot be held to a format: ask for text, or add json_schema to its capabilities.",
                param="response_format",
                code="unsupported_value",
            )


def session_of(
    question: str | None, context: Context | None = None, messages: Sequence[dict[str, Any]] | None = None
) -> Session:
    """The session that asks `question`, about `context` where one is given; or continues `messages`, in chat form.

    Raises:
        InvalidRequest: neither a question nor messages.
    """
    if messages is not None:
        said = tuple(Message.read(message, param=f"messages[{i}]") for i, message in enumerate(messages))
        return Session("local", Transcript(messages=said), context)
    if question is None:
        raise InvalidRequest("Give a question, or messages.", param="question")
    return Session.asking("local", question, context)


def shortened(text: str, sampling: Sampling) -> tuple[str, FinishReason | None]:
    """An answer that is there at once, as `sampling` bounds one that is written: up to a stop, and of a length.

    Returns:
        The text, and `length` where it was longer than `max_tokens`, counted roughly.
    """
    ends = [at for stop in sampling.stop if (at := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    if sampling.max_tokens is None or estimate_tokens(text) <= sampling.max_tokens:
        return text, None
    return text.encode()[: sampling.max_tokens * BYTES_PER_TOKEN].decode(errors="ignore"), "length"
