"""The runs that are alive in this process: started, followed by any number of clients, cancelled, written down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import dspy

from programs import RANTS, Backends, Message, Sampling, Session, Transcript, Usage
from programs.backends import calling
from programs.errors import BackendTimeout, RantsError
from programs.events import (
    Event,
    Exploration,
    Heartbeat,
    Measured,
    RunDone,
    StepDone,
    Stepped,
    TextDelta,
    ToolRan,
    ToolStarted,
    Trajectory,
    joined,
    messages_of,
)
from programs.recorded import Recorded
from programs.transcript import Tools
from server.errors import sentence, shape
from server.gateway import Gateway
from server.journal import Journal
from server.logs import bind
from server.memory import Memory
from server.metrics import Metrics, RunMeter
from store import Finished, Run, Store, StoredRun

logger = logging.getLogger("rants")


@dataclass(slots=True)
class LiveRun:
    """One run: what was asked, every event so far, and the task that drives it.

    Attributes:
        kept: whether it is written down; otherwise only what it cost is.
        tools: what it may do besides saying something.
        meter: counts it.
        session: the store's, of a run that was written down when it began.
        failure: the error behind a `RunDone` that says `failed`.
        usage: what it has cost so far.
        audits: what is written down of the tools that were executed.
        over: the loop has ended and what is left is to write it down, which nothing interrupts.
    """

    asked: Run
    kept: bool
    tools: Tools
    meter: RunMeter
    session: str | None = None
    events: list[Event] = field(default_factory=list)
    failure: BaseException | None = None
    usage: Usage = field(default_factory=Usage)
    task: asyncio.Task[None] | None = None
    over: bool = False
    audits: list[asyncio.Task[None]] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def append(self, event: Event) -> None:
        """Let every follower know."""
        self.events.append(event)
        self._news.set()
        self._news = asyncio.Event()

    @property
    def done(self) -> RunDone | None:
        """The last event, once the run is over."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, RunDone) else None

    async def follow(self) -> AsyncGenerator[Event]:
        """Every event from the first on, as it happens."""
        position = 0
        while True:
            while position < len(self.events):
                yield self.events[position]
                position += 1
            if self.done:
                return
            await self._news.wait()

    async def begun(self) -> None:
        """Wait for the first event.

        Raises:
            RantsError: the run failed before it said anything.
        """
        while not self.events:
            await self._news.wait()
        if self.failure is not None and len(self.events) == 1:
            raise self.failure

    async def finished(self) -> RunDone:
        """Wait for the end.

        Raises:
            RantsError: the run failed.
        """
        while (done := self.done) is None:
            await self._news.wait()
        if self.failure is not None:
            raise self.failure
        return done

    def cancel(self) -> None:
        """Stop everything the run has started. It still ends with a `RunDone`."""
        if self.task is not None and not self.over:
            self.task.cancel()


class Runs:
    """Starts runs of one RANTS program and keeps those that are alive.

    Args:
        rants: the loop.
        gateway: on whose behalf tools are executed.
        store: where runs are written down.
        metrics: counts them.
        timeout: seconds that one run may take.
        heartbeat: seconds of silence after which a run says that it is alive.
    """

    def __init__(
        self, rants: RANTS, gateway: Gateway, store: Store, metrics: Metrics, *, timeout: float, heartbeat: float
    ) -> None:
        self._rants = rants
        self._gateway = gateway
        self._store = store
        self._metrics = metrics
        self._memory = Memory(store)
        self._timeout = timeout
        self._heartbeat = heartbeat
        self._alive: dict[tuple[str, str], LiveRun] = {}
        self._closing = False

    async def start(
        self,
        asked: Run,
        sampling: Sampling,
        tools: Tools,
        *,
        instructions: str | None = None,
        kept: bool = True,
    ) -> LiveRun:
        """Begin a run.

        One in the background is written down before this returns, so that it survives a crash; and so is one that can
        do something, so that it does it once.

        Raises:
            StoreError: it could not be written down, or what was said before could not be read.
        """
        asked = replace(asked, transcript=await self._memory.retell(asked.tenant, asked.transcript))
        bind(tenant=asked.tenant, run=asked.id)
        begins = asked.background or (kept and tools.gateway)
        session = await self._store.begin(asked) if begins else None
        return self.go_on(asked, sampling, tools, instructions=instructions, kept=kept, session=session)

    def go_on(
        self,
        asked: Run,
        sampling: Sampling,
        tools: Tools,
        *,
        instructions: str | None = None,
        kept: bool = True,
        session: str | None = None,
        recorded: Sequence[Trajectory] = (),
    ) -> LiveRun:
        """Drive a run that is written down, in a `session`, or need not be. It takes `recorded` as done."""
        usage = Recorded(recorded).spent.usage
        events = told(asked.id, recorded)
        run = LiveRun(asked, kept, tools, self._metrics.run(), session, events=events, usage=usage)
        self._alive[asked.tenant, asked.id] = run
        transcript = asked.transcript
        if instructions:
            transcript = Transcript(messages=(Message(role="system", content=instructions), *transcript.messages))
        # Started at once, so that even a run which is cancelled right away ends as every other does.
        asking = Session(id=asked.id, transcript=transcript, tools=tools)
        loop = asyncio.get_running_loop()
        run.task = asyncio.Task(self._drive(run, asking, sampling, recorded), loop=loop, eager_start=True)
        return run

    def get(self, tenant: str, run_id: str) -> LiveRun | None:
        """The run, while it is alive and belongs to `tenant`."""
        return self._alive.get((tenant, run_id))

    def bind(self, backends: Backends, *, timeout: float) -> None:
        """Use other backends, and seconds that one run may take, for the runs that begin from now on."""
        self._rants.bind(backends)
        self._timeout = timeout

    async def ended(self) -> None:
        """Wait for the end of the runs that are alive now."""
        if tasks := [run.task for run in self._alive.values() if run.task is not None]:
            await asyncio.wait(tasks)

    async def aclose(self) -> None:
        """Cancel what is alive and wait until it is written down. Background runs stay open: the next start goes on."""
        self._closing = True
        for run in self._alive.values():
            run.cancel()
        await self.ended()

    async def _drive(self, run: LiveRun, session: Session, sampling: Sampling, recorded: Sequence[Trajectory]) -> None:
        bind(tenant=run.asked.tenant, run=run.asked.id, session=run.session)
        started = time.perf_counter()
        beat = _Heartbeats(run, self._heartbeat)
        journal = Journal(self._store, run.asked, len(recorded), begun=run.session is not None) if run.kept else None
        try:
            done = await self._outcome(run, session, sampling, recorded, journal)
        finally:
            run.over = True
            beat.stop()
        try:
            await asyncio.gather(*run.audits)
            over = time.perf_counter()
            await self._write_down(run, done, over - started, journal)
            self._metrics.wrote(time.perf_counter() - over)
        except Exception as error:
            # The client must not believe in an answer that is not there tomorrow.
            if not isinstance(error, RantsError):
                logger.exception("a bug in writing down run %s", run.asked.id)
            done = _failed(run, error)
        finally:
            del self._alive[run.asked.tenant, run.asked.id]
            run.meter.over(done)
        run.append(done)

    async def _outcome(
        self,
        run: LiveRun,
        session: Session,
        sampling: Sampling,
        recorded: Sequence[Trajectory],
        journal: Journal | None,
    ) -> RunDone:
        """Run the loop to its end, whatever that is. Nobody sees an event before all before it are written down."""
        timeout = self._timeout
        try:
            async with asyncio.timeout(timeout) as deadline:
                # dspy would keep every call; a server must not.
                with dspy.context(trace=None), calling(within=timeout):
                    caller = None
                    if run.tools.gateway:
                        offered = frozenset(tool.name for tool in run.tools.gateway)
                        caller = self._gateway.caller(run.asked, run.session, offered, run.audits)
                    events = self._rants.run(session, sampling, recorded=recorded, caller=caller)
                    async with aclosing(events):
                        async for event in events:
                            if isinstance(event, RunDone):
                                if journal is not None:
                                    await journal.written()
                                return event
                            await _take(run, event, journal)
            raise AssertionError("a run ended without saying how")
        except asyncio.CancelledError:
            return RunDone("cancelled", _text(run.events), run.usage)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            late = BackendTimeout(f"The answer took longer than {timeout:g} seconds.", backend="generator")
            late.__cause__ = error
            return _failed(run, late)
        except Exception as error:
            if not isinstance(error, RantsError):
                logger.exception("a bug in run %s", run.asked.id)
            return _failed(run, error)

    async def _write_down(self, run: LiveRun, done: RunDone, seconds: float, journal: Journal | None) -> None:
        steps = [event for event in run.events if isinstance(event, Stepped)]
        asked = run.asked
        finished = Finished(
            done=done,
            steps=tuple(steps),
            timeline=timeline(run.events),
            output=(*messages_of(steps), *_unfinished(done, steps)),
            seconds=seconds,
            key=asked.key,
        )
        self._memory.keep(asked.tenant, finished.output)
        if journal is None:
            await self._store.spent(asked.tenant, asked.id, finished)
            return
        await journal.written()
        if journal.begun:
            if asked.background and self._closing and done.outcome == "cancelled":
                return
            await self._store.finish(asked.tenant, asked.id, finished)
        else:
            await self._store.record(asked, finished)


class _Heartbeats:
    """Appends a `Heartbeat` to a run after each `seconds` in which it said nothing."""

    def __init__(self, run: LiveRun, seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._seen = 0
        self._timer = asyncio.get_running_loop().call_later(seconds, self._beat)

    def _beat(self) -> None:
        if len(self._run.events) == self._seen:
            self._run.append(Heartbeat())
        self._seen = len(self._run.events)
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._beat)

    def stop(self) -> None:
        self._timer.cancel()


async def _take(run: LiveRun, event: Event, journal: Journal | None) -> None:
    """One event of the loop: counted, charged, written down, and shown to whoever follows."""
    run.meter.happened(event)
    if isinstance(event, Trajectory):
        run.usage += event.usage
        if journal is not None:
            journal.add(event)
    if isinstance(event, Exploration | Measured):
        return
    # Nobody sees an event, and no tool is executed, before all that came before is written down.
    if journal is not None:
        await journal.written()
    if not isinstance(event, Trajectory) or event.session == run.asked.id:
        run.append(event)


def told(run_id: str, recorded: Iterable[Trajectory]) -> list[Event]:
    """What whoever follows a run has been shown of the steps that are recorded."""
    events: list[Event] = []
    for event in recorded:
        if isinstance(event, Stepped) and event.session == run_id:
            if isinstance(event, StepDone) and event.text:
                events.append(TextDelta(event.text))
            events.append(event)
    return events


def timeline(events: Sequence[Event]) -> tuple[int, ...]:
    """How a run was streamed: the length of each piece of text, 0 for each heartbeat, -1 for what ended in between."""
    cuts: list[int] = []
    for event in events:
        match event:
            case TextDelta(text):
                cuts.append(len(text))
            case Heartbeat():
                cuts.append(0)
            case StepDone() | ToolStarted() | ToolRan():
                cuts.append(-1)
    return tuple(cuts)


def ending(stored: StoredRun) -> RunDone:
    """The last event of a run that is over."""
    assert stored.status != "queued"  # noqa: S101
    assert stored.status != "in_progress"  # noqa: S101
    at = stored.completed_at or stored.created_at
    last = next((step for step in reversed(stored.steps) if isinstance(step, StepDone)), None)
    here = {step.call.id for step in stored.steps if isinstance(step, ToolStarted)}
    calls = tuple(call for call in last.calls if call.id not in here) if last and stored.status == "completed" else ()
    return RunDone(stored.status, stored.text, stored.usage, stored.reason, stored.message, at, calls)


def replay(stored: StoredRun) -> list[Event]:
    """The events of a run that is over, as they were streamed: the inverse of `timeline`."""
    done = ending(stored)
    steps = iter(stored.steps)
    texts = [step.text for step in stored.steps if isinstance(step, StepDone)]
    texts += [message.content for message in _unfinished(done, stored.steps)]
    events: list[Event] = []
    step, position = 0, 0
    for length in stored.timeline:
        if length > 0:
            events.append(TextDelta(texts[step][position : position + length]))
            position += length
        elif length == 0:
            events.append(Heartbeat())
        else:
            events.append(ended := next(steps))
            if isinstance(ended, StepDone):
                step, position = step + 1, 0
    return [*events, done]


def _text(events: Sequence[Event]) -> str:
    """All the text that was given, as `RunDone` tells it."""
    texts = [""]
    for event in events:
        if isinstance(event, TextDelta):
            texts[-1] += event.text
        elif isinstance(event, StepDone):
            texts.append("")
    return joined(texts)


def _unfinished(done: RunDone, steps: Sequence[Stepped]) -> Iterator[Message]:
    """What a step said that did not end."""
    if rest := done.text[len(joined(step.text for step in steps if isinstance(step, StepDone))) :].strip("\n"):
        yield Message(role="assistant", content=rest)


def _failed(run: LiveRun, error: BaseException) -> RunDone:
    run.failure = error
    return RunDone("failed", _text(run.events), run.usage, shape(error).code, sentence(error))
