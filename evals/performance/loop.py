"""RANTS's recursive loop beside `dspy.RLM` and `rlms`, over the same scripted LM.

Each runs in a process of its own: RANTS with its jail, `dspy.RLM` in that same jail and over the same HTTP client, so
that its loop is compared; `rlms` as it comes, its code unsandboxed in its own process. A fourth asks the LM as often
over bare sockets and does nothing else: what it takes is the floor under the others. They take turns, in another order
each round: what else the machine does falls on all. Printed are the medians over the rounds.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import httpx2
from rich.console import Console

from evals.performance.loop_stub import Kind, plan
from evals.performance.peer import RLMS_PACKAGE, Peer, PeerFailed, Ran, peer
from evals.performance.processes import running, tree_memory
from evals.performance.table import Line, show

_BARE, _RANTS, _DSPY, _RLMS = "bare calls", "RANTS", "dspy.RLM", "rlms"
_ALWAYS = ((_BARE, "bare", "bare"), (_RANTS, "rants", "rants"), (_DSPY, "dspy_rlm", "dspy"))
_SHORT_CONTEXT = 1000  # characters
_FEW, _MANY = 10, 100  # iterations
_LOOK_SECONDS = 0.01  # between two looks at the memory
_SHORT_RUNS = 5  # of few iterations, in each round
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Row:
    """What is measured, in which unit and with how many digits, and how much of it RANTS may take at most."""

    what: str
    unit: str
    digits: int
    most: float

    def cell(self, value: float | None) -> str:
        return "-" if value is None else f"{value:.{self.digits}f} {self.unit}"


def _rows(calls: int, context: int, sessions: int) -> dict[str, _Row]:
    size = f"{context / 1e6:g} MB"
    return {
        "first": _Row("call to first root call", "ms", 1, 20),
        "few, median": _Row(f"root to next, {_FEW} turns: p50", "ms", 2, 3),
        "few, p99": _Row(f"root to next, {_FEW} turns: p99", "ms", 2, 10),
        "many, median": _Row(f"root to next, {_MANY} turns: p50", "ms", 2, 3),
        "many, p99": _Row(f"root to next, {_MANY} turns: p99", "ms", 2, 10),
        "growth": _Row(f"  last {_FEW} of {_MANY} turns to {_FEW}", "x", 2, 1.5),
        "calls": _Row(f"{calls} sub-calls of 50 ms, a batch", "ms", 0, 150),
        "large": _Row(f"{size} context, call to answer", "ms", 0, 500),
        "large, memory": _Row("  memory taken, to its size", "x", 2, 1.3),
        "large, peak": _Row("  and at the most until then", "x", 2, 1.3),
        "crowd": _Row(f"{sessions} sessions, all answered", "ms", 0, 1000),
        "crowd, memory": _Row("  memory taken by each", "MB", 1, 3),
    }


@dataclass(frozen=True, slots=True)
class _Session:
    """When one session's root LM was asked and had answered, and the program had been called. In nanoseconds."""

    began: int
    ended: int
    asked: tuple[int, ...]
    sent: tuple[int, ...]

    @property
    def first(self) -> float:
        """Milliseconds from the call to the root LM's first request."""
        return (self.asked[0] - self.began) / 1e6

    @property
    def between(self) -> list[float]:
        """Milliseconds from each reply but the last to the request after it."""
        return [(asked - sent) / 1e6 for asked, sent in zip(self.asked[1:], self.sent, strict=False)]


class _Stage:
    """Has peers play plans, and keeps what was measured.

    Attributes:
        measured: by peer and row, a figure a round.
        failures: by peer and row, why there is none.
    """

    def __init__(self, lm: httpx2.AsyncClient, *, calls: int, context: int, sessions: int) -> None:
        self._lm = lm
        self._numbers = count(1)
        self._calls, self._context, self._sessions = calls, context, sessions
        self.measured: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.failures: dict[tuple[str, str], str] = {}

    async def measure(self, who: Peer, of: _Measurement) -> None:
        """Keep what `of` says about `who`, unless it has failed before."""
        if (who.name, of.__name__) in self.failures:
            return
        try:
            if who.context != _SHORT_CONTEXT:
                await who.hold_context(_SHORT_CONTEXT)
            for row, figure in (await of(self, who)).items():
                self.measured[who.name, row].append(figure)
        except (PeerFailed, PermissionError) as error:  # the latter: who may not read others' memory
            self.failures[who.name, of.__name__] = str(error)

    async def warm(self, who: Peer) -> dict[str, float]:
        """All that is measured, once and small, without a figure."""
        await self._run(who, "iterations", 3)
        await self._run(who, "calls", self._calls)
        await self._run(who, "look")
        return {}

    async def large_memory(self, who: Peer) -> dict[str, float]:
        """Of one session over the large context, of which the caller's own copy is not counted."""
        held, most = await self._memory(who, 1, self._context)
        return {"large, memory": held / self._context, "large, peak": most / self._context}

    async def crowd_memory(self, who: Peer) -> dict[str, float]:
        """Of one of many sessions that are all there."""
        held, _ = await self._memory(who, self._sessions, _SHORT_CONTEXT)
        return {"crowd, memory": held / self._sessions / 1e6}

    async def iterations(self, who: Peer) -> dict[str, float]:
        """What the loop adds to the root LM's time."""
        short = [await self._run(who, "iterations", _FEW) for _ in range(_SHORT_RUNS)]
        few = [gap for session in short for gap in session.between]
        many = (await self._run(who, "iterations", _MANY)).between
        return {
            "first": statistics.median(session.first for session in short),
            "few, median": statistics.median(few),
            "few, p99": _slowest(few, 99),
            "many, median": statistics.median(many),
            "many, p99": _slowest(many, 99),
            "growth": statistics.median(many[-_FEW:]) / statistics.median(few),
        }

    async def batch(self, who: Peer) -> dict[str, float]:
        """From the reply that calls the sub-LM to the root LM's next request."""
        session = await self._run(who, "calls", self._calls)
        return {"calls": session.between[0]}

    async def large(self, who: Peer) -> dict[str, float]:
        """One session of one turn over the large context."""
        await who.hold_context(self._context)
        session = await self._run(who, "look")
        return {"large": (session.ended - session.began) / 1e6}

    async def crowd(self, who: Peer) -> dict[str, float]:
        """Many sessions of one turn, until the last has its answer."""
        ran = await self._ask(who, "look", [next(self._numbers) for _ in range(self._sessions)])
        return {"crowd": (ran.ended - ran.began) / 1e6}

    async def _run(self, who: Peer, kind: Kind, number: int = 0) -> _Session:
        session = next(self._numbers)
        ran = await self._ask(who, kind, [session], number)
        times = (await self._times())[str(session)]
        return _Session(ran.began, ran.ended, tuple(times["asked"]), tuple(times["sent"]))

    async def _memory(self, who: Peer, sessions: int, context: int) -> tuple[float, float]:
        """Bytes more than before, while all `sessions` wait for their second turn, and at the most until then."""
        await who.hold_context(context)
        before = most = await asyncio.to_thread(tree_memory, who.pid)
        numbers = [next(self._numbers) for _ in range(sessions)]
        asked = asyncio.create_task(self._ask(who, "hold", numbers))
        while not asked.done() and not await self._wait(numbers):
            most = max(most, await asyncio.to_thread(tree_memory, who.pid))
            await asyncio.sleep(_LOOK_SECONDS)
        held = await asyncio.to_thread(tree_memory, who.pid)
        await self._lm.get("/release")
        await asked
        return held - before, max(most, held) - before

    async def _ask(self, who: Peer, kind: Kind, sessions: Sequence[int], number: int = 0) -> Ran:
        ran = await who.ask([plan(session, kind, number) for session in sessions])
        right = str(number if kind in ("iterations", "calls") else who.context)
        if wrong := [answer for answer in ran.answers if answer != right]:
            raise PeerFailed(f"{len(wrong)} of {len(sessions)} answers are wrong: {wrong[0][:100]!r}, not {right!r}")
        return ran

    async def _wait(self, sessions: Sequence[int]) -> bool:
        """Whether all of them wait for their second turn."""
        times = await self._times()
        return all(len(times.get(str(session), {"asked": []})["asked"]) == 2 for session in sessions)

    async def _times(self) -> dict[str, dict[str, list[int]]]:
        times: dict[str, dict[str, list[int]]] = (await self._lm.get("/times")).json()
        return times


type _Measurement = Callable[[_Stage, Peer], Awaitable[dict[str, float]]]

# Memory comes first: a process that has been large keeps some of it.
_ONCE = (_Stage.warm, _Stage.large_memory, _Stage.crowd_memory)
_EACH_ROUND = (_Stage.iterations, _Stage.batch, _Stage.large, _Stage.crowd)


_NOTE = (
    "dspy.RLM runs in RANTS's jail: its own interpreter, Deno with Pyodide, is not measured, since what it fetches when"
    " it starts is not to be had everywhere."
)


async def loop(*, rounds: int, calls: int, context: int, sessions: int, rlms: bool) -> None:
    """Measure and print a table.

    Args:
        rounds: how often the times are measured.
        calls: of the sub-LM, in one batch.
        context: characters of the large one.
        sessions: at once.
        rlms: whether `rlms` takes part. It is no dependency of RANTS: uv fetches it from the package index.

    Raises:
        RuntimeError: the scripted LM does not start.
        PeerFailed: RANTS, `dspy.RLM` or the floor does not.
    """
    console = Console(stderr=True)
    async with AsyncExitStack() as stack:
        lm = await stack.enter_async_context(running("from evals.performance.loop_stub import serve; serve()"))
        status = stack.enter_context(console.status("the peers start"))
        peers = [
            await stack.enter_async_context(peer(name, module, f"{lm.address}/{dialect}/v1"))
            for name, module, dialect in (
                (_BARE, "bare", "bare"),
                (_RANTS, "rants", "rants"),
                (_DSPY, "dspy_rlm", "dspy"),
            )
        ]
        notes = [_NOTE]
        if rlms:
            try:
                started = peer(_RLMS, "rlms", f"{lm.address}/rlms/v1", requires=RLMS_PACKAGE)
                peers.append(await stack.enter_async_context(started))
            except PeerFailed as error:
                notes.append(f"{_RLMS} is not available: {error}.")
        client = await stack.enter_async_context(httpx2.AsyncClient(base_url=lm.address))
        stage = _Stage(client, calls=calls, context=context, sessions=sessions)
        for of in _ONCE:
            for who in peers:
                status.update(f"{who.name}: {of.__name__}")
                await stage.measure(who, of)
        for number in range(rounds):
            for of in _EACH_ROUND:
                for who in reversed(peers) if number % 2 else peers:
                    status.update(f"round {number + 1} of {rounds}, {who.name}: {of.__name__}")
                    await stage.measure(who, of)
    show(
        f"Recursive loops, {os.process_cpu_count()} cores, {rounds} rounds; ratio: RANTS to the better of its peers",
        (_BARE, _RANTS, _DSPY, _RLMS),
        [_line(name, row, stage.measured) for name, row in _rows(calls, context, sessions).items()],
    )
    for note in (*notes, *(f"{who}, {what}: {why}" for (who, what), why in stage.failures.items())):
        print(note)


def _line(name: str, row: _Row, measured: dict[tuple[str, str], list[float]]) -> Line:
    figures = {
        who: statistics.median(found) if (found := measured.get((who, name))) else None
        for who in (_BARE, _RANTS, _DSPY, _RLMS)
    }
    ours = figures[_RANTS]
    theirs = [figure for who in (_DSPY, _RLMS) if (figure := figures[who]) is not None]
    return Line(
        row.what,
        tuple(row.cell(figure) for figure in figures.values()),
        f"{ours / min(theirs):.2f}" if ours is not None and theirs else "-",
        f"<= {row.most:g} {row.unit}",
        ours is not None and ours <= row.most,
    )


def _slowest(times: Sequence[float], share: int) -> float:
    """What `share` percent of `times` are at most."""
    return sorted(times)[-(-len(times) * share // 100) - 1]
