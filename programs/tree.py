"""What all sessions of one run share: its models, its budget, its record, and where its events go.

Every model call of a run is made here, so that it is charged, bounded, and told in one place.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import dspy
from dspy.lm15 import Message, Request
from dspy.utils.exceptions import LMError

from programs.adapter import call_config, text_of, usage_of
from programs.backends import Backends, Role, calling, translate
from programs.budget import Budget
from programs.environment import Environment
from programs.errors import BackendError, BackendRejected, ContextTooLong, RantsError
from programs.events import Event, ModelAnswered, ModelCalled, StepDone, TextDelta, Trajectory, joined
from programs.recorded import Recorded
from programs.settings import LoopSettings
from programs.splitter import without_thinking
from programs.tools import Caller
from programs.tracing import Tracing, costs
from programs.transcript import FinishReason, Sampling, Session, ToolIntent, Usage, estimate_tokens

UNKNOWN_WINDOW = 131_072
_UNKNOWN_ROOT_WINDOW = 32_768
"""Tokens that a model is taken to hold where nobody said how many. What is too much for DIRECT is explored instead; for
a root LM that is shown too much there is no such way back, and it needs little."""

_IMAGE_TOKENS = 1500  # that an image and its question about take
_CHILDREN_AT_ONCE = 32


def _places() -> defaultdict[int, asyncio.Semaphore]:
    return defaultdict(lambda: asyncio.Semaphore(_CHILDREN_AT_ONCE))


async def _at_once() -> None:
    """Nobody writes anything down."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a session answers. `reason` is what ended it early, if something did: see `RunDone`."""

    text: str
    reason: str | None = None
    finish_reason: FinishReason = "stop"
    intents: tuple[ToolIntent, ...] = ()


class _Reply(Protocol):
    """What is known of every reply."""

    usage: Usage
    finish_reason: FinishReason
    model: str


@dataclass(slots=True)
class _Said:
    """The reply to a prompt that is plain text."""

    text: str
    usage: Usage
    finish_reason: FinishReason
    model: str


@dataclass(slots=True)
class Tree:
    """One run's.

    Attributes:
        backends: the models by role; None takes the LM that `dspy.configure(lm=...)` set.
        settings: how the loop runs.
        sampling: how the user wants the answer.
        environment: gives the sandbox, when it is first needed.
        budget: what is left to spend.
        recorded: what an earlier attempt at the run has done.
        tell: takes each event.
        settled: waits until what was emitted so far is taken note of, and written down where that is wanted.
        caller: on whose behalf gateway tools run; None where there are none.
        told: what the events that were emitted, and those that are recorded, have cost.
        said: the text that the user was given, piece by piece, step by step.
        tracing: makes its spans.
        children: by depth, the places of sessions that may run at once. A session waits for none of its own depth.
    """

    backends: Backends | None
    settings: LoopSettings
    sampling: Sampling
    environment: Callable[[], Environment]
    budget: Budget
    recorded: Recorded
    tell: Callable[[Event], None]
    settled: Callable[[], Awaitable[None]] = _at_once
    caller: Caller | None = None
    told: Usage = field(default_factory=Usage)
    said: list[list[str]] = field(default_factory=lambda: [[]])
    tracing: Tracing = field(default_factory=Tracing)
    children: defaultdict[int, asyncio.Semaphore] = field(default_factory=_places)

    def __post_init__(self) -> None:
        self.told = self.recorded.spent.usage

    def emit(self, event: Event) -> None:
        """Tell an event."""
        if isinstance(event, Trajectory):
            self.told += event.usage
        if isinstance(event, TextDelta):
            self.said[-1].append(event.text)
        elif isinstance(event, StepDone):
            self.said.append([])
        self.tell(event)

    @property
    def text(self) -> str:
        """All the text that the user was given."""
        return joined(map("".join, self.said))

    def window(self, role: Role) -> int:
        """Tokens of prompt and reply together that the model of `role` can hold."""
        known = self.backends.window(role) if self.backends else None
        return known or (_UNKNOWN_ROOT_WINDOW if role == "code_interpreter" else UNKNOWN_WINDOW)

    async def predict(
        self,
        role: Role,
        predictor: dspy.Predict,
        *,
        tokens: int,
        config: dict[str, Any],
        concluding: bool = False,
        **inputs: Any,
    ) -> dspy.Prediction:
        """One call of a predictor, by the model of `role` unless it has an LM of its own.

        Args:
            role: who is asked.
            predictor: what is asked.
            tokens: about how many its prompt has.
            config: how the reply is sampled.
            concluding: it is the call that is made when the budget has ended.
            inputs: of the predictor's signature.

        Returns:
            The prediction, with `finish_reason`, and `usage`, estimated where the backend told none.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not made, or failed.
        """
        chosen = {"lm": self.backends.lm(role)} if self.backends is not None and predictor.lm is None else {}
        lm = chosen.get("lm") or predictor.lm or dspy.settings.lm

        async def call() -> tuple[dspy.Prediction, str]:
            reply = await predictor.acall(config=config, **chosen, **inputs)
            written = "".join(str(reply[name]) for name in predictor.signature.output_fields if reply[name])
            if reply.usage is None:
                reply.usage = Usage(prompt=tokens, completion=estimate_tokens(written), estimated=True)
            return reply, written

        return await self._ask(role, lm, call, tokens=tokens, config=config, inputs=inputs, concluding=concluding)

    async def held(
        self,
        role: Role,
        predictor: dspy.Predict,
        schema: dict[str, Any],
        *,
        tokens: int,
        config: dict[str, Any],
        **inputs: Any,
    ) -> dspy.Prediction:
        """One call of a predictor as `predict` makes it, its reply held to a JSON Schema where the backend can do that.

        What is written has to be checked all the same.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not made, or failed.
        """
        if self.backends is None or self.backends.can(role, "json_schema"):
            form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
            try:
                return await self.predict(
                    role, predictor, tokens=tokens, config={**config, "response_format": form}, **inputs
                )
            except BackendRejected:
                pass  # some backends know less of JSON Schema than they say
        return await self.predict(role, predictor, tokens=tokens, config=config, **inputs)

    async def _ask[T: _Reply](
        self,
        role: Role,
        lm: dspy.LM,
        call: Callable[[], Awaitable[tuple[T, str]]],
        *,
        tokens: int,
        inputs: dict[str, Any],
        config: dict[str, Any] | None = None,
        concluding: bool = False,
    ) -> T:
        """Make one call of a model: bounded and charged by the budget, measured, and in a span of its own.

        Args:
            role: who is asked.
            lm: the model that plays it.
            call: makes the call; gives the reply, and its text.
            tokens: see `predict`.
            inputs: what it is given.
            config: see `predict`.
            concluding: see `predict`.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not made, or failed.
        """
        provider = self.backends.provider(role) if self.backends is not None else "dspy"

        def lost(written: int) -> None:
            """A try that broke off has cost something, too."""
            self.budget.spend(Usage(prompt=tokens, completion=written, estimated=True))

        async with self.budget.call(tokens, concluding=concluding) as left:
            outcome, usage, start = "cancelled", Usage(), time.perf_counter()
            try:
                asked = self.tracing.model(role, lm.model, provider=provider, config=config or {}, inputs=inputs)
                with asked as span, calling(within=left, lost=lost):
                    try:
                        reply, written = await call()
                    except LMError as error:
                        raise translate(error, role=role) from error
                    outcome, usage = "ok", reply.usage
                    if span.is_recording():
                        span.set_attributes(costs(usage))
                        span.set_attribute("gen_ai.response.finish_reasons", [reply.finish_reason])
                        span.set_attribute("gen_ai.response.model", reply.model)  # a fallback's, where one has answered
                        said = [{"role": "assistant", "content": written}]
                        span.set_attributes(self.tracing.said("gen_ai.output.messages", said))
            except Exception as error:
                outcome = type(error).__name__
                raise
            finally:
                self.tell(ModelAnswered(role, lm.model, outcome, usage, time.perf_counter() - start))
        self.budget.spend(usage)
        return reply

    async def generate(self, session: str, predictor: dspy.Predict, messages: list[dict[str, Any]], tokens: int) -> str:
        """What a child session answers in one call, without code.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
        """

        async def call() -> tuple[str, Usage]:
            reply = await self.predict("generator", predictor, tokens=tokens, config={}, messages=messages)
            return reply.text, reply.usage

        return await self.recorded_call(session, 0, messages[-1]["content"], call)

    async def query(self, session: str, turn: int, prompt: str) -> str:
        """What the sub-LM answers to `prompt`, asked by the code of a turn: plain text in, plain text out.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
        """
        lm = self.backends.lm("sub_lm") if self.backends is not None else dspy.settings.lm
        tokens = estimate_tokens(prompt)

        async def ask() -> tuple[_Said, str]:
            request = Request(model=lm.model, messages=(Message.user(prompt),), config=call_config(lm.kwargs))
            response = await lm.acall(request)
            text = without_thinking(text_of(response))
            usage = usage_of(response) or Usage(prompt=tokens, completion=estimate_tokens(text), estimated=True)
            return _Said(text, usage, response.finish_reason, response.model), text

        async def call() -> tuple[str, Usage]:
            said = await self._ask("sub_lm", lm, ask, tokens=tokens, inputs={"prompt": prompt})
            return said.text, said.usage

        return await self.recorded_call(session, turn, prompt, call)

    async def look(self, session: str, turn: int, prompt: str, predictor: dspy.Predict, message: LazyChat) -> str:
        """What the vision backend sees.

        Args:
            session: whose image it is.
            turn: of code that asks; 0 where the image is told in the conversation.
            prompt: the image's name, and the question.
            predictor: what is asked.
            message: gives the user's message with the image, once it is needed.

        Raises:
            BudgetSpent, BackendError: it was not asked, or failed.
        """

        async def call() -> tuple[str, Usage]:
            reply = await self.predict("vision", predictor, tokens=_IMAGE_TOKENS, config={}, messages=[await message()])
            return reply.answer, reply.usage

        return await self.recorded_call(session, turn, prompt, call, role="vision")

    async def recorded_call(
        self,
        session: str,
        turn: int,
        prompt: str,
        call: Callable[[], Awaitable[tuple[str, Usage]]],
        role: Role = "sub_lm",
    ) -> str:
        """The recorded reply, or failure; else that of `call`, which is then told.

        Args:
            session: whose call it is.
            turn: of the code that asks; 0 where none does.
            prompt: what is asked, as the record tells it.
            call: asks; gives the reply, and what it cost.
            role: who is asked.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
        """
        if (known := self.recorded.called(session, turn, prompt)) is not None:
            if known.reply is not None:
                return known.reply
            if turn == 0 and role != "vision" and self.recorded.opened(session):
                raise ContextTooLong(known.error or "")  # for one call: this child has then explored
            raise BackendError(known.error or "", backend=role)
        at, start = time.time(), time.perf_counter()
        reply, failure, usage = None, None, Usage()
        try:
            reply, usage = await call()
        except RantsError as error:
            failure = str(error)
            raise
        finally:
            if reply is not None or failure is not None:
                seconds = time.perf_counter() - start
                self.emit(ModelCalled(session, turn, prompt, reply, failure, usage, at, seconds))
        return reply


type LazyChat = Callable[[], Awaitable[dict[str, Any]]]

type Recurse = Callable[[Session, Tree], Awaitable[Answer]]
"""Answers a session of the tree: the loop itself."""
