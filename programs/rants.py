"""RANTS, the loop (arXiv 2512.24601).

RANTS(session) -> events
  1  bind the budget, and what was recorded of an earlier attempt
  2  C fits comfortably in the generator's window -> DIRECT: one streamed Generate call on native chat messages
     else -> EXPLORE: code over the environment that holds C, until it submits or the budget ends; that code calls
     models, and opens child sessions, each of which is this loop again
  3  the text goes to the user as it is written; tool intents and thinking are held back
  4  the step is recorded; the run ends
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import dspy
from dspy.lm15 import StreamDeltaEvent
from dspy.lm15 import TextDelta as WrittenDelta

from programs.adapter import NativeAdapter
from programs.backends import Backends, listening, run_sync
from programs.backends.engine import StreamEvent
from programs.budget import Budget
from programs.context import size_of, texts_of
from programs.environment import Environment, shared
from programs.errors import BudgetSpent, ContextTooLong, InvalidRequest
from programs.events import Event, Heartbeat, RunDone, StepDone, TextDelta, Trajectory
from programs.explore import Explore
from programs.recorded import Recorded
from programs.settings import LoopSettings
from programs.splitter import Splitter, split
from programs.transcript import (
    BYTES_PER_TOKEN,
    Context,
    FinishReason,
    Message,
    Sampling,
    Session,
    Transcript,
    estimate_tokens,
)
from programs.tree import Answer, Tree
from signatures import Generate

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_COMFORTABLE = 0.6  # of the window; the rest is for the reply, and for what a rough count of tokens misses
_WORTH_EXPLORING = 2048  # tokens: less than what Explore's own prompt takes
_PIECE = 1024  # characters of an answer that is there at once, in one delta


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
    """

    def __init__(
        self,
        backends: Backends | None = None,
        settings: LoopSettings | None = None,
        environment: Environment | None = None,
    ) -> None:
        super().__init__()
        self.backends = backends
        self.settings = settings or LoopSettings()
        self.generate = dspy.Predict(Generate)
        self.explore = Explore()
        self._environment = environment

    @property
    def environment(self) -> Environment:
        """Where the models' code runs. It starts with the first session that needs it, or by its `start`."""
        return self._environment or shared(self.settings.environment)

    async def run(
        self, session: Session, sampling: Sampling | None = None, *, recorded: Iterable[Trajectory] = ()
    ) -> AsyncGenerator[Event]:
        """Run the loop over `session`: its exploration, text as it is written, each step, and last a `RunDone`.

        Closing the generator cancels everything the run has started.

        Args:
            session: what was said, and the context, if there is one.
            sampling: how the user wants the answer.
            recorded: what an earlier attempt at this run has emitted. It is taken as done: not emitted, done or paid
                for again.

        Raises:
            ContextTooLong: in DIRECT, the conversation does not fit the generator's window.
            InvalidRequest: the reply should fit a schema, and the generator cannot be held to one.
            BackendError: a model did not answer as it should.
            EnvironmentUnavailable: the context has to be explored, and there is no sandbox.
        """
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        done = Recorded(recorded)
        tree = Tree(
            backends=self.backends,
            settings=self.settings,
            sampling=sampling or Sampling(),
            environment=lambda: self.environment,
            budget=Budget(self.settings.budget, spent=done.spent),
            recorded=done,
            emit=events.put_nowait,
        )
        task = asyncio.create_task(self._loop(session, tree))
        task.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
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
            A prediction with `text`, `tool_intents`, `outcome`, `reason`, `usage`, and `trajectory`: the events of
            the exploration, in order.

        Raises:
            InvalidRequest: neither a question nor messages.
            ContextTooLong, InvalidRequest, BackendError, EnvironmentUnavailable: as `run`.
        """
        intents: list[Any] = []
        trajectory: list[Trajectory] = []
        async with aclosing(self.run(session_of(question, context, messages), sampling)) as events:
            async for event in events:
                match event:
                    case StepDone():
                        intents.extend(event.intents)
                    case RunDone():
                        done = event
                    case TextDelta() | Heartbeat():
                        pass
                    case _:
                        trajectory.append(event)
        return dspy.Prediction(
            text=done.text,
            tool_intents=intents,
            outcome=done.outcome,
            reason=done.reason,
            usage=done.usage,
            trajectory=trajectory,
        )

    async def _loop(self, session: Session, tree: Tree) -> None:
        """The run, into events."""
        self._check_format(tree.sampling)
        try:
            # Entered in this task alone: a dspy context must not be held across a yield to the client. The trajectory
            # tells more than dspy's history, which would keep every prompt.
            with dspy.context(adapter=NativeAdapter(), disable_history=True):
                answer = await self._answer(session, tree)
        except BudgetSpent as stop:
            tree.emit(RunDone("incomplete", "", tree.budget.usage, stop.what))
            return
        spent = tree.budget.usage
        tree.emit(StepDone(answer.text, answer.intents, answer.finish_reason, spent))
        if (cut := _INCOMPLETE.get(answer.finish_reason)) is not None:
            tree.emit(RunDone("incomplete", answer.text, spent, cut))
        else:
            tree.emit(RunDone("completed", answer.text, spent, answer.reason))

    async def _answer(self, session: Session, tree: Tree) -> Answer:
        """What a session answers, whatever its depth. The root's text is told as soon as it is there."""
        mode = self.settings.mode
        window = tree.window("generator")
        size = await asyncio.to_thread(size_of, session) if session.context is not None else size_of(session)
        if mode == "direct" and size > window:
            raise ContextTooLong(
                f"The conversation is about {size} tokens long; the generator's window holds {window}. Send less of"
                " it, configure a generator with a larger context_window, or leave out mode: direct."
            )
        if mode == "direct" or (mode == "auto" and size <= _COMFORTABLE * window):
            try:
                return await self._direct(session, tree, size)
            except ContextTooLong:
                # The count was too rough, or nobody had said how long the window is. Nothing was told yet.
                if mode == "direct" or size < _WORTH_EXPLORING:
                    raise
        answer = await self.explore.answer(session, tree, self._answer)
        if session.depth > 0:
            return answer
        text, intents = await asyncio.to_thread(split, answer.text)
        text, finish_reason = shortened(text, tree.sampling)
        for start in range(0, len(text), _PIECE):
            tree.emit(TextDelta(text[start : start + _PIECE]))
        return Answer(text, answer.reason, finish_reason or answer.finish_reason, intents)

    async def _direct(self, session: Session, tree: Tree, size: int) -> Answer:
        """DIRECT: one Generate call on native chat messages, the context before the question."""
        messages = [message.chat() for message in session.transcript.messages]
        if session.context is not None:
            asked = messages[-1]["content"]
            messages[-1]["content"] = "\n\n".join([*texts_of(session.context), asked])
        if session.depth > 0:
            return Answer(await tree.generate(session.id, self.generate, messages, size))
        splitter = Splitter()
        told = 0

        def hear(event: StreamEvent) -> None:
            nonlocal told
            match event:
                case StreamDeltaEvent(delta=WrittenDelta(text=piece)):
                    if text := splitter.feed(piece):
                        told += len(text)
                        tree.emit(TextDelta(text))

        config = tree.sampling.model_dump(exclude_defaults=True)
        with listening(hear):
            reply = await tree.predict("generator", self.generate, tokens=size, config=config, messages=messages)
        # What was still held back; all of it, where the LM is one that does not report deltas.
        if rest := reply.text[told:]:
            tree.emit(TextDelta(rest))
        return Answer(reply.text, None, reply.finish_reason, tuple(reply.tool_intents))

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
