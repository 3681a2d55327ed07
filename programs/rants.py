"""RANTS, the loop (arXiv 2512.24601).

RANTS(session) -> events
  one streamed Generate call on native chat messages; the text goes to the user as it is written, while tool
  intents and thinking are held back; the step is recorded; the run ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import dspy
from dspy.lm15 import StreamDeltaEvent
from dspy.lm15 import TextDelta as WrittenDelta
from dspy.utils.exceptions import LMError

from programs.adapter import NativeAdapter
from programs.backends import Backends, listening, run_sync, translate
from programs.backends.engine import StreamEvent
from programs.errors import ContextTooLong, InvalidRequest
from programs.events import Event, Outcome, RunDone, StepDone, TextDelta
from programs.settings import LoopSettings
from programs.splitter import Splitter
from programs.transcript import Message, Sampling, Session, Transcript, Usage, estimate_tokens
from signatures import Generate

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class RANTS(dspy.Module):  # type: ignore[misc]
    """A Recursive Language Model as a DSPy Module.

    `run` is the loop; calling the module folds it into a `dspy.Prediction`:

        rants = RANTS(Backends())
        rants(question="What is the capital of France?").text

    Args:
        backends: the models by role. None takes the LM that `dspy.configure(lm=...)` set.
        settings: how the loop runs.
    """

    def __init__(self, backends: Backends | None = None, settings: LoopSettings | None = None) -> None:
        super().__init__()
        self.backends = backends
        self.settings = settings or LoopSettings()
        self.generate = dspy.Predict(Generate)

    async def run(self, session: Session, sampling: Sampling | None = None) -> AsyncGenerator[Event]:
        """Run the loop over `session`: text as it is written, each step, and last a `RunDone`.

        Closing the generator cancels everything the run has started.

        Raises:
            ContextTooLong: the conversation does not fit the generator's window.
            InvalidRequest: the reply should fit a schema, and the generator cannot be held to one.
            BackendError: the generator did not answer as it should.
        """
        sampling = sampling or Sampling()
        self._check_window(session.transcript)
        self._check_format(sampling)
        async with aclosing(self._step(session.transcript, sampling)) as step:
            async for event in step:
                yield event
                if isinstance(event, StepDone):
                    reason = _INCOMPLETE.get(event.finish_reason)
                    outcome: Outcome = "incomplete" if reason else "completed"
                    yield RunDone(outcome, event.text, event.usage, reason)

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """`aforward` for code that is not async; also works inside a notebook's running event loop."""
        return run_sync(self.aforward(**inputs))

    async def aforward(
        self,
        question: str | None = None,
        context: str | None = None,
        messages: Sequence[dict[str, Any]] | None = None,
        sampling: Sampling | None = None,
    ) -> dspy.Prediction:
        """Answer `question`, about `context` where one is given; or continue `messages`, in chat form.

        Returns:
            A prediction with `text`, `tool_intents`, `outcome`, `reason` and `usage`.

        Raises:
            InvalidRequest: neither a question nor messages.
            ContextTooLong, InvalidRequest, BackendError: as `run`.
        """
        transcript = transcript_of(question, context, messages)
        intents: list[Any] = []
        async with aclosing(self.run(Session(id="local", transcript=transcript), sampling)) as events:
            async for event in events:
                match event:
                    case StepDone():
                        intents.extend(event.intents)
                    case RunDone():
                        done = event
        return dspy.Prediction(
            text=done.text, tool_intents=intents, outcome=done.outcome, reason=done.reason, usage=done.usage
        )

    def _check_window(self, transcript: Transcript) -> None:
        window = self.backends.window("generator") if self.backends else None
        if window is None:
            return
        tokens = sum(estimate_tokens(message.content) for message in transcript.messages)
        if tokens > window:
            raise ContextTooLong(
                f"The conversation is about {tokens} tokens long; the generator's window holds {window}. "
                "Send less of it, or configure a generator with a larger context_window."
            )

    def _check_format(self, sampling: Sampling) -> None:
        if sampling.response_format and self.backends and not self.backends.can("generator", "json_schema"):
            raise InvalidRequest(
                "The generator cannot be held to a format: ask for text, or add json_schema to its capabilities.",
                param="response_format",
                code="unsupported_value",
            )

    async def _step(self, transcript: Transcript, sampling: Sampling) -> AsyncGenerator[TextDelta | StepDone]:
        """One Generate call, streamed."""
        written: asyncio.Queue[str | None] = asyncio.Queue()

        def hear(event: StreamEvent) -> None:
            match event:
                case StreamDeltaEvent(delta=WrittenDelta(text=text)):
                    written.put_nowait(text)

        async def call() -> dspy.Prediction:
            try:
                # Entered in this task alone: a dspy context must not be held across a yield to the client.
                with dspy.context(adapter=NativeAdapter()), listening(hear):
                    return await self.generate.acall(
                        messages=[message.chat() for message in transcript.messages],
                        config=sampling.model_dump(exclude_defaults=True),
                        **self._lm(),
                    )
            except LMError as error:
                raise translate(error, role="generator") from error
            finally:
                written.put_nowait(None)

        splitter = Splitter()
        sent = 0
        task = asyncio.create_task(call())
        try:
            while (piece := await written.get()) is not None:
                if text := splitter.feed(piece):
                    sent += len(text)
                    yield TextDelta(text)
            reply = await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        # What was still held back; all of it, where the LM is one that does not report deltas.
        if rest := reply.text[sent:]:
            yield TextDelta(rest)
        usage = reply.usage or _estimate(transcript, reply.text)
        yield StepDone(reply.text, tuple(reply.tool_intents), reply.finish_reason, usage)

    def _lm(self) -> dict[str, dspy.LM]:
        """Which LM generates: the predictor's own (`set_lm`), else the role's, else dspy's."""
        if self.generate.lm is not None or self.backends is None:
            return {}
        return {"lm": self.backends.lm("generator")}


def transcript_of(
    question: str | None, context: str | None = None, messages: Sequence[dict[str, Any]] | None = None
) -> Transcript:
    """The conversation that asks `question`, about `context` where one is given; or `messages`, in chat form.

    Raises:
        InvalidRequest: neither a question nor messages.
    """
    if messages is not None:
        return Transcript(
            messages=tuple(Message.read(message, param=f"messages[{i}]") for i, message in enumerate(messages))
        )
    if question is None:
        raise InvalidRequest("Give a question, or messages.", param="question")
    content = question if context is None else f"{context}\n\n{question}"
    return Transcript(messages=(Message(role="user", content=content),))


def _estimate(transcript: Transcript, text: str) -> Usage:
    prompt = sum(estimate_tokens(message.content) for message in transcript.messages)
    return Usage(prompt=prompt, completion=estimate_tokens(text), estimated=True)
