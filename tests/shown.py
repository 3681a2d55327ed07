"""Runs to look at: one of every kind of event, with what strangers might write in each of them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from programs import Message, Transcript, Usage
from programs.events import (
    CodeRan,
    CodeWritten,
    Concluded,
    ModelCalled,
    RunDone,
    SessionOpened,
    StepDone,
    Stepped,
    ToolRan,
    ToolStarted,
    Trajectory,
    messages_of,
)
from programs.transcript import ToolCall, ToolIntent
from store import Finished, Run, StateSettings, Store

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31mred\x1b[0m \u202etxt.exe\u2066 \"'>"
LONG_LINE = "x" * 1_000_000
CODE = "found = grep('late')\nprint(len(found))  # <b>how many</b>\n"
PLACE = "The delivery of the third of March came late, said the note."
DOCUMENT = (
    "".join(f"Line {number}: nothing of note, Grüße 說 👩‍🚀\n" for number in range(3000))
    + f"{PLACE} {EVIL}\n"
    + "".join(f'More {number}: "quoted" \\ back\n' for number in range(3000))
)
QUESTION = "Which delivery was late?"
ANSWER = f"That of the third of March. {EVIL}"
RICH, DIRECT, FAILED = "resp_rich", "resp_direct", "resp_failed"
_USED = Usage(prompt=1000, completion=40, cached=800)
_WRITE = ToolCall(id="call_write", name="write", arguments='{"filePath": "a<script>.md", "content": "# Late"}')
_BASH = ToolCall(id="call_bash", name="bash", arguments='{"command": "ls"}')


def explored(run: str, at: float) -> list[Trajectory]:
    """A run of two steps, whose first one explores in three turns and uses two tools. Its last step is not in it."""
    child = f"{run}/2.aa"
    intent = ToolIntent(text=f"write a.md with block TEXT {EVIL}", blocks={"TEXT": f"# Late {EVIL}"})
    return [
        SessionOpened(run, 0, f"{QUESTION} {EVIL}", f"a list of messages {EVIL}", at + 0.1),
        CodeWritten(run, 1, "10 turns are left.", f"I look. {EVIL}", CODE, False, _USED, at + 0.2, 1.0),
        CodeRan(run, 1, f"1 ['{PLACE}'] {EVIL}", None, False, at + 1.2, 0.1),
        CodeWritten(run, 2, "9 turns are left.", "I ask.", "llm_query(found[0])", False, _USED, at + 1.4, 1.0),
        ModelCalled(run, 2, f"Late?\n\n{PLACE} {EVIL}", f"Yes. {EVIL}", None, _USED, at + 2.5, 0.7),
        ModelCalled(run, 2, f"Late?\n\n{LONG_LINE}", None, f"503 {EVIL}", Usage(), at + 2.6, 0.7),
        SessionOpened(child, 1, "What does it say?", "a str", at + 3.4),
        CodeWritten(child, 1, "5 turns are left.", "", "SUBMIT(context)", False, _USED, at + 3.5, 0.3),
        CodeRan(child, 1, "", LONG_LINE, False, at + 3.8, 0.1),
        ModelCalled(f"{run}/2.bb", 0, "Short?", "Yes.", None, _USED, at + 3.4, 0.2),
        CodeRan(run, 2, LONG_LINE, None, True, at + 2.5, 1.6),
        Concluded(run, "That of March.", "budget_iterations", _USED, at + 4.2, 0.5),
        StepDone(run, 1, "I note it.", (intent,), (_WRITE, _BASH), None, "stop", None, Usage(), at + 0.1, 5.0),
        ToolStarted(run, 1, _WRITE, at + 5.2),
        ToolStarted(run, 1, _BASH, at + 5.2),
        ToolRan(run, 1, _BASH, f"ls: {EVIL}", False, {"exit": 2, "file": EVIL}, at + 5.2, 0.4),
        ToolRan(run, 1, _WRITE, "Written.", True, {"bytes": 6}, at + 5.2, 0.2),
    ]


def kept_below(folder: Path, tenant: str = "local") -> None:
    """Have the runs in the database of a server that is to run in the folder; see `keep`."""

    async def fill() -> None:
        async with await Store.open(StateSettings(sqlite_path=folder / "var" / "rants.sqlite3")) as store:
            await keep(store, tenant)

    # In a thread, since Playwright has a loop in this one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(fill())).result()


async def keep(store: Store, tenant: str = "local", at: float = 1_000_000.0) -> None:
    """Keep the runs `RICH`, `DIRECT` and `FAILED`."""
    events = explored(RICH, at)
    last = StepDone(RICH, 2, ANSWER, (), (), None, "stop", None, _USED, at + 5.8, 1.0)
    steps = (*(event for event in events if isinstance(event, Stepped)), last)
    said = (Message(role="system", content="Be brief."), Message(role="user", content=f"{DOCUMENT}\n\n{QUESTION}"))
    await store.begin(_run(RICH, tenant, at, *said))
    await store.happened(tenant, RICH, 0, events)
    cost = sum((event.usage for event in (*events, last)), Usage())
    await store.finish(tenant, RICH, _finished(RunDone("completed", last.text, cost, at=at + 6.8), steps))

    only = StepDone(DIRECT, 1, f"Hello. {EVIL}", (), (), None, "stop", None, _USED, at + 10, 1.0)
    done = RunDone("completed", only.text, _USED, at=at + 11)
    await store.record(_run(DIRECT, tenant, at + 10, Message(role="user", content="Hello?")), _finished(done, (only,)))

    # The step after a problem had begun, so that the last step is among the events.
    trouble = StepDone(
        FAILED, 1, "", (ToolIntent(text="do"),), (), "There is no such tool.", "stop", None, _USED, at, 1
    )
    await store.begin(_run(FAILED, tenant, at + 20, Message(role="user", content="Do it.")))
    await store.happened(tenant, FAILED, 0, [trouble, SessionOpened(f"{FAILED}+2", 0, "Do it.", "a str", at + 22)])
    over = RunDone("failed", "", _USED, "backend_unavailable", f"The backend is away. {EVIL}", at=at + 25)
    await store.finish(tenant, FAILED, _finished(over, (trouble,)))


def _run(name: str, tenant: str, at: float, *said: Message) -> Run:
    return Run(name, tenant, "rants-one", at, {"echo": {"tools": []}}, Transcript(messages=said))


def _finished(done: RunDone, steps: tuple[Stepped, ...]) -> Finished:
    return Finished(done, 1.0, output=tuple(messages_of(steps)), steps=steps)
