"""The turns of a session: its code in its environment, and what comes of it as an observation or the answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from typing import Any, Self

from programs.context import View, shorten
from programs.environment import ProtocolViolation, Turn
from programs.environment import Session as Opened
from programs.events import CodeRan, CodeWritten, EnvironmentOpened
from programs.formats import as_text, misfit
from programs.host_calls import HostCalls
from programs.settings import Limits
from programs.tracing import AttributeValue
from programs.transcript import Session
from programs.tree import Tree

# Weak models copy what stands here, so no code does.
_NO_CODE = "There is no code in this. Begin with ```python, and call SUBMIT when you know the answer."
_CUT = "Your reply was cut off: write less in one turn."
NOTHING = "(Nothing was printed. Use print to see something.)"
_LIMITS = ("TimeLimit", "EnvironmentLost")
_RESTARTED = "The environment was started again: `context` is there, what earlier turns defined is gone."

_PRINTED_SHARE = 1 / 8  # of the window: what is shown of what code prints, at four characters a token
_SHOWN_SHARE = 3 / 16  # of the window: what an observation may take, in any script, and with what was raised
_LAST_SECONDS = 2.0  # that code may still compute when the run's time is over


class Turns:
    """Runs the code of one session, turn by turn: `async with Turns(...) as turns: await turns.run(written)`.

    The environment is opened when it is first needed, and brought to where the record ends.

    Args:
        session: whose code it is.
        seen: what its environment holds.
        tree: the run's.
        calls: what the code may call.
        wanted: the format that the answer must fit, if there is one.
    """

    def __init__(
        self, session: Session, seen: View, tree: Tree, calls: HostCalls, *, wanted: Mapping[str, Any] | None
    ) -> None:
        self._session = session
        self._seen = seen
        self._tree = tree
        self._wanted = wanted
        self._calls = calls
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
            self._opening = asyncio.create_task(self._opened(limits.model_copy(update={"output_chars": shown})))
        return self._opening

    async def _opened(self, limits: Limits) -> Opened:
        environment = self._tree.environment()
        start = time.perf_counter()
        try:
            with self._tree.tracing.span("environment open", {"rants.environment": environment.name}):
                opened = await environment.open(
                    self._seen.context,
                    question=self._seen.question,
                    host=self._calls.functions,
                    limits=limits,
                    seed=int.from_bytes(hashlib.blake2b(self._session.id.encode(), digest_size=4).digest()),
                )
        except Exception:
            self._tree.tell(EnvironmentOpened(ok=False, seconds=time.perf_counter() - start))
            raise
        self._tree.tell(EnvironmentOpened(ok=True, seconds=time.perf_counter() - start))
        return opened

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
            turn = await self._traced(written)
            wrong, fresh = None, turn.fresh
            if turn.submitted:
                answer = as_text(turn.answer)
                wrong = await asyncio.to_thread(misfit, answer, self._wanted)
                answer = None if wrong else answer
            observation = shorten(_observed(turn, wrong), self._tree.window("code_interpreter") * _SHOWN_SHARE)
        if written.cut and answer is None:
            observation = f"{observation}\n{_CUT}"
        seconds = time.perf_counter() - start
        ran = CodeRan(written.session, written.turn, observation, answer, fresh, at, seconds)
        self._tree.emit(ran)
        return ran

    async def _traced(self, written: CodeWritten) -> Turn:
        """Run the code of a turn, in a span of its own."""
        tracing = self._tree.tracing
        about: dict[str, AttributeValue] = {"rants.turn": written.turn, "gen_ai.conversation.id": written.session}
        with tracing.span("environment turn", about | tracing.text("rants.code", written.code)) as span:
            turn = await self._execute(written)
            if span.is_recording():
                span.set_attributes({"rants.submitted": turn.submitted, "rants.fresh": turn.fresh})
                span.set_attributes(tracing.text("rants.observation", turn.stdout))
                if turn.error is not None:
                    tracing.failed(span, turn.error.name, turn.error.message)
        return turn

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
    return "\n".join(part for part in parts if part) or NOTHING
