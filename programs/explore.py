"""Explore: the root LM writes code over the environment that holds the context, turn after turn, until it submits.

    turn n    what the code of turn n-1 printed, what budget is left  ->  the root LM writes code
              the environment runs it; it may call models, and open child sessions  ->  an observation, or the answer

What cannot be read as code, what raises, and what breaks a limit are observations too: the model reacts to them. When
the budget ends, or the turns no longer lead anywhere, one last call concludes from what was found.
"""

from __future__ import annotations

import asyncio
import time

import dspy

from programs.backends.engine import listening
from programs.classify import Classify
from programs.context import describe, view
from programs.demonstrations import DEMONSTRATIONS
from programs.errors import BudgetSpent, ContextTooLong
from programs.events import CodeWritten, Concluded, SessionOpened
from programs.fences import read_code
from programs.host_calls import HostCalls
from programs.prompt import Prompt
from programs.repetition import Repetition, Standing
from programs.splitter import without_thinking
from programs.transcript import Session, estimate_tokens
from programs.tree import Answer, Recurse, Tree
from programs.turns import Turns
from programs.vision import Vision, images_of
from signatures import Conclude
from signatures import Explore as ExploreSignature

_MOST_RETRIES = 2  # after a prompt that was too long all the same


class Explore(dspy.Module):  # type: ignore[misc]
    """Code over the environment. Its demonstrations are native turns, and optimised like any others."""

    def __init__(self) -> None:
        super().__init__()
        self.write = dspy.Predict(ExploreSignature)
        self.write.demos = list(DEMONSTRATIONS)
        self.conclude = dspy.Predict(Conclude)
        self.classify = Classify()

    async def answer(self, session: Session, tree: Tree, recurse: Recurse, vision: Vision) -> Answer:
        """Explore the context of `session` until its question is answered, the budget ends, or nothing new comes.

        Args:
            session: the one to answer.
            tree: what it shares with the others of the run.
            recurse: answers a child session.
            vision: looks at the session's images, if it has some.

        Raises:
            BudgetSpent: it ended before a child's session had an answer. The root's concludes instead.
            BackendError: the root LM did not answer as it should.
            EnvironmentUnavailable: there is no sandbox.
        """
        seen = await asyncio.to_thread(view, session, tree.window("code_interpreter"))
        described = await asyncio.to_thread(describe, seen.context)
        if images := len(images_of(session)):
            described += f"\n\nvision_query(question, number) asks about an image: there {_are(images)}."
        if not tree.recorded.opened(session.id):
            tree.emit(SessionOpened(session.id, session.depth, seen.question, described, time.time()))
        # The user's format is for the root's answer, and not for a child's.
        wanted = tree.sampling.response_format if session.depth == 0 else None
        prompt = Prompt(self.write, seen, described, wanted, tree)
        calls = HostCalls(session, tree, recurse, vision, self.classify)
        standing = Standing()
        async with Turns(session, seen, tree, calls, wanted=wanted) as turns:
            try:
                for turn in range(1, tree.settings.max_iterations + 1):
                    written = await self._written(session, turn, prompt, tree)
                    ran = await turns.run(written)
                    if ran.answer is not None:
                        return Answer(ran.answer)
                    prompt.add(written, ran.observation)
                    if standing.after(written, ran):
                        reason = "no_progress"
                        break
                else:
                    reason = "budget_iterations"
            except BudgetSpent as stop:
                if session.depth > 0:
                    raise
                reason = stop.what
        return await self._concluded(session, prompt, tree, reason)

    async def _written(self, session: Session, turn: int, prompt: Prompt, tree: Tree) -> CodeWritten:
        """The code of a turn, from the record or from the root LM."""
        if (known := tree.recorded.written(session.id, turn)) is not None:
            return known
        budget = tree.budget.left(tree.settings.max_iterations - turn + 1)
        tree.budget.take_iteration()
        at, start = time.time(), time.perf_counter()
        loop = Repetition()
        for retries_left in reversed(range(_MOST_RETRIES + 1)):
            try:
                with listening(loop.hear):
                    reply = await tree.predict(
                        "code_interpreter",
                        self.write,
                        tokens=prompt.tokens,
                        config=prompt.config,
                        **prompt.inputs(budget),
                    )
                break
            except ContextTooLong:
                if not retries_left:
                    raise
                prompt.shrink()
        reasoning, code = read_code(without_thinking(loop.text)) if loop.noticed else (reply.reasoning, reply.code)
        written = CodeWritten(
            session=session.id,
            turn=turn,
            budget=budget,
            # Words that went round in circles would be gone on with.
            reasoning="" if loop.noticed and not code else reasoning,
            code=code,
            cut=loop.noticed or reply.finish_reason == "length",
            usage=reply.usage,
            at=at,
            seconds=time.perf_counter() - start,
        )
        tree.emit(written)
        return written

    async def _concluded(self, session: Session, prompt: Prompt, tree: Tree, reason: str) -> Answer:
        """The best answer so far."""
        if (known := tree.recorded.concluded(session.id)) is not None:
            return Answer(known.answer, known.reason)
        findings = prompt.findings()
        at, start = time.time(), time.perf_counter()
        config = tree.sampling.model_dump(exclude_defaults=True) if session.depth == 0 else {}
        loop = Repetition()
        with listening(loop.hear):
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
        answer = without_thinking(loop.text).strip() if loop.noticed else reply.answer
        tree.emit(Concluded(session.id, answer, reason, reply.usage, at, seconds))
        return Answer(answer, reason, reply.finish_reason)


def _are(images: int) -> str:
    return "is one, number 1" if images == 1 else f"are {images}, numbers 1 to {images}"
