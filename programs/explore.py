"""Explore: the root LM writes code over the environment that holds the context, turn after turn, until it submits.

    turn n    what the code of turn n-1 printed, what budget is left  ->  the root LM writes code
              the environment runs it; it may call models, and open child sessions  ->  an observation, or the answer

What cannot be read as code, what raises, and what breaks a limit are observations too: the model reacts to them. When
the budget ends, one last call concludes from what was found.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import dspy

from programs.context import View, describe, shorten, view, words_of
from programs.demonstrations import DEMONSTRATIONS
from programs.environment import Context, HostFunction, HostFunctionFailed, ProtocolViolation, Turn
from programs.environment import Session as Opened
from programs.errors import BackendError, BudgetSpent, ContextTooLong
from programs.events import CodeRan, CodeWritten, Concluded, SessionOpened
from programs.formats import as_text, misfit
from programs.transcript import FinishReason, Session, ToolIntent, estimate_tokens
from programs.tree import Tree
from signatures import Conclude
from signatures import Explore as ExploreSignature

_NO_CODE = "There is no code in this. Write one ```python block; when you know the answer, call SUBMIT(answer) in it."
_CUT = "Your reply was cut off: write less in one turn."
_NOTHING = "(Nothing was printed. Use print to see something.)"
_LIMITS = ("TimeLimit", "EnvironmentLost")
_RESTARTED = "The environment was started again: `context` is there, what earlier turns defined is gone."

_REPLY_SHARE = 1 / 4  # of the window: what is kept free for the reply
_PRINTED_SHARE = 1 / 8  # of the window: what is shown of what code prints, at four characters a token
_SHOWN_SHARE = 3 / 16  # of the window: what an observation may take, in any script, and with what was raised
_LONGEST_REPLY = 4096  # tokens
_LAST_SECONDS = 2.0  # that code may still compute when the run's time is over
_MOST_RETRIES = 2  # after a prompt that was too long all the same
_LESS = 3 / 4  # of such a prompt is room from then on


@dataclass(frozen=True, slots=True)
class Answer:
    """What a session answers. `reason` is the part of the budget that ended it early, if one did."""

    text: str
    reason: str | None = None
    finish_reason: FinishReason = "stop"
    intents: tuple[ToolIntent, ...] = ()


type Recurse = Callable[[Session, Tree], Awaitable[Answer]]


class Explore(dspy.Module):  # type: ignore[misc]
    """Code over the environment. Its demonstrations are native turns, and optimised like any others."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict(ExploreSignature)
        self.write.demos = list(DEMONSTRATIONS)
        self.conclude = dspy.Predict(Conclude)

    async def answer(self, session: Session, tree: Tree, recurse: Recurse) -> Answer:
        """Explore the context of `session` until its question is answered or the budget ends.

        Args:
            session: the one to answer.
            tree: what it shares with the others of the run.
            recurse: answers a child session.

        Raises:
            BudgetSpent: it ended before a child's session had an answer. The root's concludes instead.
            BackendError: the root LM did not answer as it should.
            EnvironmentUnavailable: there is no sandbox.
        """
        seen = await asyncio.to_thread(view, session, tree.window("code_interpreter"))
        described = await asyncio.to_thread(describe, seen.context)
        if not tree.recorded.opened(session.id):
            tree.emit(SessionOpened(session.id, session.depth, seen.question, described, time.time()))
        prompt = _Prompt(self.write, seen, described, _format_for(session, tree), tree)
        async with _Environment(session, seen, tree, recurse) as environment:
            try:
                for turn in range(1, tree.settings.max_iterations + 1):
                    written = await self._written(session, turn, prompt, tree)
                    ran = await environment.run(written)
                    if ran.answer is not None:
                        return Answer(ran.answer)
                    prompt.add(written, ran.observation)
                reason = "budget_iterations"
            except BudgetSpent as stop:
                if session.depth > 0:
                    raise
                reason = stop.what
        return await self._concluded(session, prompt, tree, reason)

    async def _written(self, session: Session, turn: int, prompt: _Prompt, tree: Tree) -> CodeWritten:
        """The code of a turn, from the record or from the root LM."""
        if (known := tree.recorded.written(session.id, turn)) is not None:
            return known
        budget = tree.budget.left(tree.settings.max_iterations - turn + 1)
        tree.budget.take_iteration()
        at, start = time.time(), time.perf_counter()
        for retries_left in reversed(range(_MOST_RETRIES + 1)):
            try:
                reply = await tree.predict(
                    "code_interpreter", self.write, tokens=prompt.tokens, config=prompt.config, **prompt.inputs(budget)
                )
                break
            except ContextTooLong:
                if not retries_left:
                    raise
                prompt.shrink()
        written = CodeWritten(
            session=session.id,
            turn=turn,
            budget=budget,
            reasoning=reply.reasoning,
            code=reply.code,
            cut=reply.finish_reason == "length",
            usage=reply.usage,
            at=at,
            seconds=time.perf_counter() - start,
        )
        tree.emit(written)
        return written

    async def _concluded(self, session: Session, prompt: _Prompt, tree: Tree, reason: str) -> Answer:
        """The best answer so far."""
        if (known := tree.recorded.concluded(session.id)) is not None:
            return Answer(known.answer, known.reason)
        findings = prompt.findings()
        at, start = time.time(), time.perf_counter()
        config = tree.sampling.model_dump(exclude_defaults=True) if session.depth == 0 else {}
        reply = await tree.predict(
            "code_interpreter",  # whose window the findings are made for
            self.conclude,
            tokens=prompt.fixed + estimate_tokens(findings),
            config=config,
            concluding=session.depth == 0,
            messages=prompt.messages,
            findings=findings,
        )
        seconds = time.perf_counter() - start
        tree.emit(Concluded(session.id, reply.answer, reason, reply.usage, at, seconds))
        return Answer(reply.answer, reason, reply.finish_reason)


def _format_for(session: Session, tree: Tree) -> dict[str, Any] | None:
    """The format that the answer must fit: the user's is for the root's answer, and not for a child's."""
    return tree.sampling.response_format if session.depth == 0 else None


class _Prompt:
    """What the root LM is shown: it grows turn by turn, and gives up its oldest observations when it is full."""

    def __init__(
        self, predictor: dspy.Predict, seen: View, described: str, wanted: Mapping[str, Any] | None, tree: Tree
    ) -> None:
        window = tree.window("code_interpreter")
        self.messages = [message.chat() for message in seen.messages]
        self.context = described
        if dialect := tree.environment().dialect:
            self.context += f"\n\n{dialect}"
        if wanted:
            self.context += f"\n\nSUBMIT takes JSON, as this asks for it: {as_text(wanted)}"
        self.config = {"max_tokens": min(_LONGEST_REPLY, int(window * _REPLY_SHARE))}
        self._room = int(window * (1 - _REPLY_SHARE))
        self._history: list[dict[str, Any]] = []
        self._observation = ""
        demos = sum(estimate_tokens(str(demo)) for demo in predictor.demos)
        said = sum(estimate_tokens(words_of(message)) for message in seen.messages)
        self.fixed = estimate_tokens(predictor.signature.instructions) + demos + said + estimate_tokens(self.context)
        self._growing = 0

    @property
    def tokens(self) -> int:
        """About how many tokens the next prompt has."""
        return self.fixed + self._growing

    def inputs(self, budget: str) -> dict[str, Any]:
        """The inputs of the next call."""
        return {
            "messages": self.messages,
            "context": self.context,
            "history": dspy.History(messages=list(self._history)),
            "observation": self._observation,
            "budget": budget,
        }

    def add(self, written: CodeWritten, observation: str) -> None:
        """A turn was taken."""
        # A turn of the assistant's that is quite empty is refused by some servers.
        reasoning = written.reasoning or ("" if written.code else "(nothing)")
        turn = {"budget": written.budget, "reasoning": reasoning, "code": written.code}
        if self._observation:
            turn = {"observation": self._observation, **turn}
        self._history.append(turn)
        self._observation = observation
        self._growing = self._measure()
        if self.tokens > self._room:
            self._compact()

    def shrink(self) -> None:
        """The backend found the prompt too long: it holds less than was thought, or the count was too rough."""
        self._room = int(self.tokens * _LESS)
        self._compact()

    def _compact(self) -> None:
        """Make room: the observations of the older turns are cut short, then whole turns are left out.

        Half of the room is given up at once, so that until then, and again afterwards, each prompt begins with the
        one before it. The last turn and what it printed are kept for as long as there is room for them at all.
        """
        goal = max(0, self._room // 2 - self.fixed)
        older = self._history[:-1]
        for turn in older:
            if self._measure() <= goal:
                break
            if len(turn.get("observation", "")) > _SHORT:
                turn["observation"] = turn["observation"][:_SHORT] + _LEFT_OUT
        while self._history and self._measure() > (goal if len(self._history) > 1 else self._room - self.fixed):
            del self._history[0]
        self._observation = shorten(self._observation, self._room - self.fixed)
        self._growing = self._measure()

    def findings(self) -> str:
        """What was printed, newest last, as much of it as there is room for."""
        observations = [turn["observation"] for turn in self._history if "observation" in turn] + [self._observation]
        room = max(_SHORT, (self._room - self.fixed) * 2)  # characters: half of what is free
        kept: list[str] = []
        for observation in reversed(observations):
            if not observation or room <= 0:
                break
            kept.append(observation[-room:])
            room -= len(observation)
        return "\n\n".join(["What was found:", *reversed(kept)]) if kept else "Nothing was found."

    def _measure(self) -> int:
        return sum(map(_size, self._history)) + estimate_tokens(self._observation)


_SHORT = 200  # characters
_LEFT_OUT = "\n[... left out, to save room: print it again if you need it ...]"


def _size(turn: Mapping[str, str]) -> int:
    return sum(map(estimate_tokens, turn.values()))


class _Environment:
    """The environment of one session: opened when it is first needed, brought to where the record ends, closed."""

    def __init__(self, session: Session, seen: View, tree: Tree, recurse: Recurse) -> None:
        self._session = session
        self._seen = seen
        self._tree = tree
        self._calls = _HostCalls(session, tree, recurse)
        self._behind: list[CodeWritten] = []
        self._opening: asyncio.Task[Opened] | None = None

    async def __aenter__(self) -> Self:
        # While the root LM writes its first code, the context is laid out.
        if self._tree.recorded.written(self._session.id, 1) is None:
            self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opening is None:
            return
        # In a task of its own: a run that is cancelled while it closes would leave its guest behind.
        closing = asyncio.create_task(_close(self._opening))
        try:
            await asyncio.shield(closing)
        finally:
            await asyncio.wait([closing])

    def _open(self) -> asyncio.Task[Opened]:
        if self._opening is None:
            window = self._tree.window("code_interpreter")
            limits = self._tree.settings.limits
            shown = min(limits.output_chars, int(window * _PRINTED_SHARE * 4))
            self._opening = asyncio.create_task(
                self._tree.environment().open(
                    self._seen.context,
                    question=self._seen.question,
                    host=self._calls.functions,
                    limits=limits.model_copy(update={"output_chars": shown}),
                    seed=int.from_bytes(hashlib.blake2b(self._session.id.encode(), digest_size=4).digest()),
                )
            )
        return self._opening

    async def run(self, written: CodeWritten) -> CodeRan:
        """Run the code of a turn, unless the record tells what came of it."""
        if (known := self._tree.recorded.ran(written.session, written.turn)) is not None:
            self._behind = [] if known.fresh else [*self._behind, written]
            return known
        at, start = time.time(), time.perf_counter()
        observation, answer, fresh = _NO_CODE, None, False
        if written.code:
            while self._behind:
                await self._execute(self._behind.pop(0))
            turn = await self._execute(written)
            wrong, fresh = None, turn.fresh
            if turn.submitted:
                answer = as_text(turn.answer)
                wrong = await asyncio.to_thread(misfit, answer, _format_for(self._session, self._tree))
                answer = None if wrong else answer
            observation = shorten(_observed(turn, wrong), self._tree.window("code_interpreter") * _SHOWN_SHARE)
        if written.cut and answer is None:
            observation = f"{observation}\n{_CUT}"
        seconds = time.perf_counter() - start
        ran = CodeRan(written.session, written.turn, observation, answer, fresh, at, seconds)
        self._tree.emit(ran)
        return ran

    async def _execute(self, written: CodeWritten) -> Turn:
        self._calls.turn = written.turn
        session = await self._open()
        left = self._tree.budget.seconds_left + _LAST_SECONDS
        try:
            async with asyncio.timeout(left) as deadline:
                return await session.execute(written.code)
        except TimeoutError:
            if deadline.expired():
                self._tree.budget.check()
            raise
        except ProtocolViolation as error:
            await session.aclose()
            self._opening = None
            return Turn(stdout=f"{error}\n{_RESTARTED}", fresh=True)


async def _close(opening: asyncio.Task[Opened]) -> None:
    """Close the session that was opened, or is being opened."""
    opening.cancel()
    await asyncio.wait([opening])
    if not opening.cancelled() and opening.exception() is None:
        await opening.result().aclose()


def _observed(turn: Turn, wrong: str | None) -> str:
    """A turn as the root LM is shown it; `wrong` is why its answer is none."""
    parts = [turn.stdout.rstrip()]
    if (error := turn.error) is not None:
        parts.append(error.traceback.rstrip())
        # The traceback of an exception ends in what it says. That of a limit only tells where it struck.
        if error.name in _LIMITS or not error.traceback:
            parts.append(f"{error.name}: {error.message}")
    if wrong:
        parts.append(f"SUBMIT's answer does not fit: {wrong}")
    return "\n".join(part for part in parts if part) or _NOTHING


class _HostCalls:
    """The host functions of one session. What they raise for the code to see, it sees as a `RuntimeError`."""

    def __init__(self, session: Session, tree: Tree, recurse: Recurse) -> None:
        self._session = session
        self._tree = tree
        self._recurse = recurse
        self._asked: Counter[str] = Counter()
        self.turn = 0
        self.functions: dict[str, HostFunction] = {
            "llm_query": self._llm_query,
            "llm_query_batched": self._llm_query_batched,
            "rlm_query": self._rlm_query,
        }

    async def _llm_query(self, prompt: str) -> str:
        try:
            return await self._tree.query(self._session.id, self.turn, prompt)
        except (BudgetSpent, BackendError, ContextTooLong) as error:
            raise HostFunctionFailed(str(error)) from error

    async def _llm_query_batched(self, prompts: list[str]) -> list[str]:
        replies = await asyncio.gather(*map(self._llm_query, prompts), return_exceptions=True)
        failures = [reply for reply in replies if isinstance(reply, BaseException)]
        for failure in failures:
            if not isinstance(failure, HostFunctionFailed):
                raise failure
        if failures:
            raise HostFunctionFailed(f"{len(failures)} of {len(prompts)} calls failed; the first: {failures[0]}")
        return [str(reply) for reply in replies]

    async def _rlm_query(self, question: str, context: Context) -> str:
        if self._session.depth >= self._tree.settings.max_depth:
            return await self._llm_query(f"{as_text(context)}\n\n{question}")
        child = Session.asking(self._child_id(question, context), question, context, parent=self._session)
        try:
            async with self._tree.children[child.depth]:
                return (await self._recurse(child, self._tree)).text
        except (BudgetSpent, BackendError, ContextTooLong) as error:
            raise HostFunctionFailed(str(error)) from error

    def _child_id(self, question: str, context: Context) -> str:
        """The same for the same call of the same turn, however often and in whatever order a run is replayed."""
        digest = hashlib.blake2b(f"{question}\0{as_text(context)}".encode("utf-8", "replace"), digest_size=6)
        name = f"{self._session.id}/{self.turn}.{digest.hexdigest()}"
        self._asked[name] += 1
        return name if self._asked[name] == 1 else f"{name}.{self._asked[name]}"
