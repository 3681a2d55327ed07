"""The runs that are alive in this process: started, followed by any number of clients, cancelled, written down."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
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
from server.admission import Admission, Place
from server.errors import sentence, shape
from server.gateway import Gateway
from server.journal import Journal
from server.logs import bind
from server.memory import Memory
from server.metrics import Metrics, RunMeter
from server.rates import Charge
from store import Finished, Run, Store, StoredRun

logger = logging.getLogger("rants")


@dataclass(slots=True)
class LiveRun:
    """One run: what was asked, every event so far, and the task that drives it.

    Attributes:
        place: its place among the runs of this process, which it gives back when it is over.
        charge: what its tenant was charged for it, which is corrected then.
        kept: whether it is written down; otherwise only what it cost is.
        tools: what it may do besides saying something.
        meter: counts it.
        session: the store's, of a run that was written down when it began.
        failure: the error behind a `RunDone` that says `failed`.
        usage: what it has cost so far.
        audits: what is written down of the tools that were executed.
        journal: where it is written down, of a run that is kept.
        over: the loop has ended and what is left is to write it down, which nothing interrupts.
    """

    asked: Run
    place: Place
    charge: Charge
    kept: bool
    tools: Tools
    meter: RunMeter
    session: str | None = None
    events: list[Event] = field(default_factory=list)
    failure: BaseException | None = None
    usage: Usage = field(default_factory=Usage)
    task: asyncio.Task[None] | None = None
    journal: Journal | None = None
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

    async def ended(self) -> None:
        """Wait for the end, whatever it is."""
        while self.done is None:
            await self._news.wait()

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
        admission: which of them may go on; the others wait.
        metrics: counts them.
        timeout: seconds that one run may take.
        heartbeat: seconds of silence after which a run says that it is alive.
    """

    def __init__(
        self,
        rants: RANTS,
        gateway: Gateway,
        store: Store,
        admission: Admission,
        metrics: Metrics,
        *,
        timeout: float,
        heartbeat: float,
    ) -> None:
        self._rants = rants
        self._gateway = gateway
        self._store = store
        self._admission = admission
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
        charge: Charge,
        *,
        instructions: str | None = None,
        kept: bool = True,
    ) -> LiveRun:
        """Begin a run. It may wait for its turn first.

        One in the background is written down before this returns, so that it survives a crash; and so is one that can
        do something, so that it does it once.

        Raises:
            Overloaded: too many wait already.
            StoreError: it could not be written down, or what was said before could not be read.
        """
        place = self._admission.enter(asked.tenant, patient=asked.background)
        try:
            asked = replace(asked, transcript=await self._memory.retell(asked.tenant, asked.transcript))
            bind(tenant=asked.tenant, run=asked.id)
            begins = asked.background or (kept and tools.gateway)
            session = await self._store.begin(asked) if begins else None
        except BaseException:
            place.leave()
            raise
        charge.taken = True
        run = LiveRun(asked, place, charge, kept, tools, self._metrics.run(), session)
        self._begin(run, sampling, instructions)
        return run

    def go_on(
        self,
        asked: Run,
        sampling: Sampling,
        tools: Tools,
        *,
        instructions: str | None,
        session: str,
        recorded: Sequence[Trajectory],
    ) -> None:
        """Drive a run in the background that is written down, in a `session`. It takes `recorded` as done."""
        place = self._admission.enter(asked.tenant, patient=True, always=True)
        charge = Charge(asked.tenant, taken=True)
        usage = Recorded(recorded).spent.usage
        events = told(asked.id, recorded)
        meter = self._metrics.run()
        run = LiveRun(asked, place, charge, True, tools, meter, session, events=events, usage=usage)
        self._begin(run, sampling, instructions, recorded)

    def _begin(
        self, run: LiveRun, sampling: Sampling, instructions: str | None, recorded: Sequence[Trajectory] = ()
    ) -> None:
        asked = run.asked
        self._alive[asked.tenant, asked.id] = run
        transcript = asked.transcript
        if instructions:
            transcript = Transcript(messages=(Message(role="system", content=instructions), *transcript.messages))
        # Started at once, so that even a run which is cancelled right away ends as every other does.
        asking = Session(id=asked.id, transcript=transcript, tools=run.tools)
        loop = asyncio.get_running_loop()
        run.task = asyncio.Task(self._drive(run, asking, sampling, recorded), loop=loop, eager_start=True)

    def get(self, tenant: str, run_id: str) -> LiveRun | None:
        """The run, while it is alive and belongs to `tenant`."""
        return self._alive.get((tenant, run_id))

    @property
    def closing(self) -> bool:
        """Whether no more runs should begin here."""
        return self._closing

    def begun(self) -> frozenset[tuple[str, str]]:
        """The tenants and ids of the runs that are alive and in the store, that is of those that hold a lease."""
        return frozenset(key for key, run in self._alive.items() if run.journal is not None and run.journal.begun)

    def unwritten(self, tenant: str | None) -> list[Run]:
        """The runs of a tenant, or of all, that go on here and are not in the store yet, newest first."""
        alive = [run for (whose, _), run in self._alive.items() if tenant in (None, whose) and run.kept]
        asked = [run.asked for run in alive if run.journal is not None and not run.journal.begun]
        return sorted(asked, key=lambda run: run.created_at, reverse=True)

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
        if run.kept:
            run.journal = Journal(self._store, run.asked, len(recorded), begun=run.session is not None)
        try:
            done = await self._outcome(run, session, sampling, recorded)
        finally:
            run.over = True
        try:
            await asyncio.gather(*run.audits)
            over = time.perf_counter()
            await self._admission.rates.settle(run.charge, done.usage.prompt + done.usage.completion)
            await self._write_down(run, done, over - started)
            self._metrics.wrote(time.perf_counter() - over)
        except Exception as error:
            # The client must not believe in an answer that is not there tomorrow.
            if not isinstance(error, RantsError):
                logger.exception("a bug in writing down run %s", run.asked.id)
            done = _failed(run, error)
        finally:
            del self._alive[run.asked.tenant, run.asked.id]
            run.place.leave()
            run.meter.over(done)
        run.append(done)

    async def _outcome(
        self,
        run: LiveRun,
        session: Session,
        sampling: Sampling,
        recorded: Sequence[Trajectory],
    ) -> RunDone:
        """Run the loop to its end, whatever that is. Nobody sees an event before all before it are written down."""
        timeout = self._timeout
        try:
            async with asyncio.timeout(None) as deadline:
                await run.place.turn()
                if run.asked.background and not run.events:
                    run.append(Heartbeat())  # it is no longer queued
                deadline.reschedule(asyncio.get_running_loop().time() + timeout)
                # dspy would keep every call; a server must not.
                with dspy.context(trace=None), calling(within=timeout), _heartbeats(run, self._heartbeat):
                    caller = None
                    if run.tools.gateway:
                        offered = frozenset(tool.name for tool in run.tools.gateway)
                        caller = self._gateway.caller(run.asked, run.session, offered, run.audits)
                    events = self._rants.run(session, sampling, recorded=recorded, caller=caller)
                    async with aclosing(events):
                        async for event in events:
                            if isinstance(event, RunDone):
                                if run.journal is not None:
                                    await run.journal.written()
                                return event
                            await _take(run, event)
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

    async def _write_down(self, run: LiveRun, done: RunDone, seconds: float) -> None:
        steps = [event for event in run.events if isinstance(event, Stepped)]
        asked = run.asked
        finished = Finished(
            done=done,
            steps=tuple(steps),
            timeline=timeline(run.events),
            output=(*messages_of(steps), *_unfinished(done, steps)),
            seconds=seconds,
            key=asked.key,
            models=run.meter.models,
        )
        if run.place.since is None and run.session is None:
            return  # it never began
        self._memory.keep(asked.tenant, finished.output)
        journal = run.journal
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


@contextmanager
def _heartbeats(run: LiveRun, seconds: float) -> Iterator[None]:
    """Append a `Heartbeat` to the run after each `seconds` in which it said nothing."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle | None = None

    def wait() -> None:
        nonlocal timer
        timer = loop.call_later(seconds, beat, len(run.events))

    def beat(seen: int) -> None:
        if len(run.events) == seen:
            run.append(Heartbeat())
        wait()

    wait()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def _take(run: LiveRun, event: Event) -> None:
    """One event of the loop: counted, charged, written down, and shown to whoever follows."""
    run.meter.happened(event)
    if isinstance(event, Trajectory):
        run.usage += event.usage
        if run.journal is not None:
            run.journal.add(event)
    if isinstance(event, Exploration | Measured):
        return
    # Nobody sees an event, and no tool is executed, before all that came before is written down.
    if run.journal is not None:
        await run.journal.written()
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
