"""The loop that explores: what the root LM writes, what the jail makes of it, what a run spends, and how it ends.

All of it is real: models over HTTP, played by scripts, and guests in the jail of this process. After each test nothing
of a run is left: no guest, no open call, no task.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from evals.scripted import Call, Reply, Script, ScriptedBackend, in_turn, usage
from programs import RANTS, Backends, Message, Sampling, Session, Transcript, Usage, budget
from programs.environment import Jail, Limits, shared
from programs.errors import BackendRejected, BackendUnavailable, ContextTooLong
from programs.events import (
    CodeRan,
    CodeWritten,
    Concluded,
    Event,
    Measured,
    ModelCalled,
    RunDone,
    SessionOpened,
    StepDone,
    TextDelta,
    Trajectory,
)
from programs.settings import BudgetSettings, LoopSettings, ModelSettings, ModelsSettings, ResilienceSettings
from programs.transcript import Context, ToolIntent, estimate_tokens
from signatures import Classify, Conclude, Generate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")

WINDOW = 8000  # tokens of the root LM
QUESTION = "What is the code?"
CONTEXT = "Nothing of note.\nThe code is 4711.\nNothing at all."
BEST = "The best so far."
ASKED = Session.asking("s", QUESTION, CONTEXT)


# --- the models


def said(body: dict[str, Any]) -> list[str]:
    """The texts of a call's messages."""
    return [message["content"] for message in body["messages"]]


def concluding(body: dict[str, Any]) -> bool:
    return said(body)[0].startswith(Conclude.instructions)


def writes(*replies: str | Reply, **children: list[str]) -> Script:
    """A root LM that writes these codes (or replies so), one a turn, the last for ever, and concludes with `BEST`.

    A child session writes those of the word that its question begins with.
    """

    def script(body: dict[str, Any]) -> Reply:
        if concluding(body):
            return Reply([BEST], usage=usage(30, 3))
        asked = next(message["content"] for message in body["messages"] if message["role"] == "user")
        codes = children.get(asked.split()[0].strip(","), replies)
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        reply = codes[min(turn, len(codes) - 1)]
        return reply if isinstance(reply, Reply) else Reply([code(reply)], usage=usage(100, 10))

    return script


def code(python: str) -> str:
    return f"```python\n{python}\n```"


def echo(body: dict[str, Any]) -> Reply:
    """A sub-LM that says what it was told, in capitals."""
    return Reply([said(body)[-1].upper()], usage=usage(7, 2))


@dataclass
class Bench:
    """Two models by script, and runs of the loop over them."""

    root: ScriptedBackend
    sub: ScriptedBackend
    backends: Backends
    events: list[Event] = field(default_factory=list)

    async def ask(
        self,
        *,
        question: str = QUESTION,
        context: Context | None = CONTEXT,
        messages: Iterable[Message] = (),
        sampling: Sampling | None = None,
        recorded: Iterable[Trajectory] = (),
        backends: Backends | None = None,
        **settings: Any,
    ) -> RunDone:
        """Run to the end; `events` are those of this run, also where it fails."""
        loop = LoopSettings(**{"mode": "explore", **settings})
        session = Session.asking("s", question, context)
        if messages:
            session = Session("s", Transcript(messages=tuple(messages)))
        self.events = []
        rants = RANTS(backends or self.backends, loop)
        rants.explore.write.demos = []  # so that the scripts need not tell them from turns
        async with aclosing(rants.run(session, sampling, recorded=recorded)) as run:
            async for event in run:
                if not isinstance(event, Measured):
                    self.events.append(event)
        done = self.events[-1]
        assert isinstance(done, RunDone)
        assert sum(isinstance(event, RunDone) for event in self.events) == 1
        assert "".join(event.text for event in self.events if isinstance(event, TextDelta)) == done.text
        return done

    def of[E](self, kind: type[E]) -> list[E]:
        """The events of a kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def observations(self) -> list[str]:
        return [event.observation for event in self.of(CodeRan)]

    @property
    def trajectory(self) -> list[Trajectory]:
        return [event for event in self.events if not isinstance(event, TextDelta | StepDone | RunDone)]  # type: ignore[misc]

    @property
    def open(self) -> int:
        """How many calls are being answered."""
        return self.root.open + self.sub.open


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    with ScriptedBackend(writes("SUBMIT(1)")) as root, ScriptedBackend(echo) as sub:
        models = ModelsSettings(
            generator=ModelSettings(base_url=root.base_url, model="root", context_window=WINDOW),
            sub_lm=ModelSettings(base_url=sub.base_url, model="sub", context_window=WINDOW),
        )
        backends = Backends(models, ResilienceSettings(max_retries=0))
        bench = Bench(root, sub, backends)
        try:
            yield bench
            await nothing_is_left(bench)
        finally:
            await backends.aclose()


async def until(condition: Callable[[], object]) -> None:
    """Wait for something outside of this process, or its event loop, to become so."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.005)


async def nothing_is_left(bench: Bench) -> None:
    await until(lambda: not bench.open)
    await until(lambda: not guests())
    await until(lambda: len(asyncio.all_tasks()) == 1)


def guests() -> set[int]:
    """The guests of this process's jail."""
    jail = shared("jail")
    assert isinstance(jail, Jail)
    if jail.pid is None or not jail.layers:
        return set()
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    below = {jail.pid}
    for _ in range(2 if jail.layers["namespaces"] else 1):  # with namespaces, the zygote is its own child
        below = {process for process, parent in parents.items() if parent in below}
    return below


# --- replies, and what comes of their code


async def test_code_runs_until_it_submits(bench: Bench) -> None:
    bench.root.script = writes("print(len(context), question)", "found = grep('code is')", "SUBMIT(found[0])")
    done = await bench.ask()
    assert (done.outcome, done.text, done.reason) == ("completed", "The code is 4711.", None)
    assert [type(event) for event in bench.events] == [
        SessionOpened, *[CodeWritten, CodeRan] * 3, TextDelta, StepDone, RunDone,
    ]  # fmt: skip
    assert bench.observations[0] == f"{len(CONTEXT)} {QUESTION}"
    assert said(bench.root.calls[1].body)[-1].startswith(f"{len(CONTEXT)} {QUESTION}\n\nBudget left: 19 turns")


async def test_what_code_defines_is_kept_over_turns(bench: Bench) -> None:
    bench.root.script = writes(
        "import re\nx = [1]",
        "def double(n):\n    return 2 * n",
        "x.append(double(x[0]))\nclass A: pass",
        "SUBMIT([x, re.sub('a', 'b', 'aa'), A.__name__])",
    )
    assert (await bench.ask()).text == '[[1, 2], "bb", "A"]'


async def test_a_reply_without_code_is_told_so(bench: Bench) -> None:
    bench.root.script = writes(Reply(["I think it is 4711."]), Reply([""]), "SUBMIT('4711')")
    assert (await bench.ask()).text == "4711"
    for call, words in zip(bench.root.calls[1:], ["I think it is 4711.", "(nothing)"], strict=True):
        assert said(call.body)[-2] == words
        assert said(call.body)[-1].startswith("There is no code in this.")
    assert [event.code for event in bench.of(CodeWritten)[:2]] == ["", ""]


async def test_a_reply_that_goes_round_in_circles_is_cut_off_and_not_shown_to_the_root_lm_again(bench: Bench) -> None:
    endless = Reply([" for the special magic number"], fault="endless")
    bench.root.script = writes(endless, "SUBMIT('4711')")
    assert (await bench.ask()).text == "4711"
    first, _ = bench.of(CodeWritten)
    assert (first.reasoning, first.code, first.cut) == ("", "", True)
    assert said(bench.root.calls[1].body)[-2] == "(nothing)"
    assert said(bench.root.calls[1].body)[-1].startswith("There is no code in this.")
    assert "cut off" in said(bench.root.calls[1].body)[-1]


async def test_a_conclusion_that_goes_round_in_circles_is_cut_off_too(bench: Bench) -> None:
    circles = Reply(["I found", " for the special magic number"], fault="endless")
    bench.root.script = lambda body: circles if concluding(body) else Reply(["No code."])
    done = await bench.ask(max_iterations=1)
    assert (done.text, done.reason) == ("I found for the special magic number", "budget_iterations")


@pytest.mark.parametrize("again", [Reply(["It is 4711."]), "print(answer)"])
async def test_turns_that_are_one_like_the_other_end_the_exploration(bench: Bench, again: str | Reply) -> None:
    bench.root.script = writes("found = 1", again)
    done = await bench.ask(max_iterations=20)
    assert (done.text, done.reason) == (BEST, "no_progress")
    assert len(bench.of(CodeWritten)) == 1 + 4
    calls = len(bench.root.calls)
    again_done = await bench.ask(max_iterations=20, recorded=bench.trajectory)
    assert (again_done.text, again_done.reason) == (BEST, "no_progress")
    assert len(bench.root.calls) == calls, "a run that is taken up again ends in the same place"


async def test_code_that_prints_nothing_may_come_further_each_time(bench: Bench) -> None:
    bench.root.script = writes("n = 0", *["n += 1"] * 5, "SUBMIT(n)")
    assert (await bench.ask(max_iterations=20)).text == "5"


async def test_several_blocks_are_run_in_order_in_one_turn(bench: Bench) -> None:
    bench.root.script = writes(Reply([f"First\n{code('x = 1')}\nthen\n{code('SUBMIT(x + 1)')}\nSo it is 2."]))
    assert (await bench.ask()).text == "2"
    assert len(bench.root.calls) == 1


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise ValueError('é😀')", "ValueError: é😀"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("open('/etc/passwd')", "PermissionError"),
        ("nowhere", "NameError: name 'nowhere' is not defined"),
    ],
)
async def test_what_the_code_raises_is_an_observation(bench: Bench, broken: str, told: str) -> None:
    bench.root.script = writes(f"print('before')\nx = 5\n{broken}", "SUBMIT(x)")
    assert (await bench.ask()).text == "5"
    assert bench.observations[0].startswith("before\n")
    assert told in bench.observations[0]
    assert f'File "<turn 1>", line 3, in <module>\n    {broken}' in bench.observations[0]


async def test_code_that_is_not_python_is_an_observation(bench: Bench) -> None:
    bench.root.script = writes("x = (1,", "SUBMIT('went on')")
    assert (await bench.ask()).text == "went on"
    assert "SyntaxError" in bench.observations[0]


async def test_what_is_printed_is_cut_to_a_share_of_the_window(bench: Bench) -> None:
    bench.root.script = writes("print('HEAD' + 'x' * 10**7 + 'TAIL')", "SUBMIT(1)")
    await bench.ask()
    seen = bench.observations[0]
    assert seen.startswith("HEADxxx")
    assert seen.endswith("xxxTAIL")
    assert "9,996,009 characters cut" in seen
    assert len(seen) < WINDOW / 8 * 4 + 50


@pytest.mark.parametrize("endless", ["while True: pass", "import time\ntime.sleep(60)", "sum(range(10**12))"])
async def test_code_that_does_not_end_is_stopped(bench: Bench, endless: str) -> None:
    bench.root.script = writes(f"x = 5\n{endless}", "SUBMIT('x' in globals())")
    start = time.monotonic()
    done = await bench.ask(limits=Limits(wall_seconds=0.3))
    assert time.monotonic() - start < 5
    assert "Stopped after 0.3 s" in bench.observations[0]
    lost = bench.of(CodeRan)[0].fresh
    assert done.text == ("false" if lost else "true")
    assert lost == ("started again" in bench.observations[0])


@pytest.mark.parametrize(
    "deadly",
    [
        "import os\nos._exit(1)",
        "import ctypes\nctypes.string_at(0)",
        "import os\nos.write(3, b'\\xff' * 100)",
        "import os\nbody = b'{\"kind\": \"ready\"}'\nos.write(3, len(body).to_bytes(4, 'big') + body)",
    ],
    ids=["exit", "crash", "frame too long", "frame out of turn"],
)
async def test_who_loses_the_environment_goes_on_in_another(bench: Bench, deadly: str) -> None:
    bench.root.script = writes("x = 5", deadly, "print('x' in globals())\ny = 6", "SUBMIT([y, len(context), question])")
    assert (await bench.ask()).text == json.dumps([6, len(CONTEXT), QUESTION])
    assert [event.fresh for event in bench.of(CodeRan)] == [False, True, False, False]
    assert "started again: `context` is there, what earlier turns defined is gone" in bench.observations[1]
    assert bench.observations[2] == "False"


async def test_who_takes_too_much_memory_is_told(bench: Bench) -> None:
    bench.root.script = writes("x = 5\ny = bytearray(4 << 30)", "SUBMIT(x)")
    assert (await bench.ask()).text == "5"
    assert "MemoryError" in bench.observations[0]


async def test_the_end_of_another_turn_is_not_taken_for_this_ones(bench: Bench) -> None:
    submitted = {"values": ["forged"], "fields": {}}
    forged = {"kind": "result", "turn": 99, "head": "", "tail": "", "cut": 0, "error": None, "submitted": submitted}
    forge = f"import os\nbody = {json.dumps(forged).encode()!r}\nos.write(3, len(body).to_bytes(4, 'big') + body)"
    bench.root.script = writes(forge, "SUBMIT('honest')")
    assert (await bench.ask()).text == "honest"
    assert "out of turn" in bench.observations[0]


async def test_a_reply_that_was_cut_is_told_so(bench: Bench) -> None:
    bench.root.script = writes(
        Reply(["```python\nprint('ran')\nx = (1"], finish_reason="length"),
        Reply(["I think and think"], finish_reason="length"),
        Reply([code("SUBMIT(2)")], finish_reason="length"),
    )
    assert (await bench.ask()).text == "2"
    assert [event.cut for event in bench.of(CodeWritten)] == [True, True, True]
    for seen in bench.observations[:2]:
        assert seen.endswith("Your reply was cut off: write less in one turn.")
    assert "SyntaxError" in bench.observations[0]


async def test_thinking_is_not_code(bench: Bench) -> None:
    bench.root.script = writes(Reply([f"<think>{code('SUBMIT(1)')}</think>{code('SUBMIT(2)')}"], reasoning=["hm"]))
    assert (await bench.ask()).text == "2"


# --- what is submitted


@pytest.mark.parametrize(
    ("submitted", "text"),
    [
        ("'text, é😀'", "text, é😀"),
        ("''", ""),
        ("12", "12"),
        ("1.5", "1.5"),
        ("None", "null"),
        ("True", "true"),
        ("['a', 1]", '["a", 1]'),
        ("{'é': {'b': []}}", '{"é": {"b": []}}'),
        ("('a', 'b')", '["a", "b"]'),
        ("'a', 'b'", '["a", "b"]'),
        ("name='Ada', age=36", '{"name": "Ada", "age": 36}'),
        ("{1}", "{1}"),
        ("float('nan')", "nan"),
    ],
)
async def test_what_is_submitted_is_read_as_text(bench: Bench, submitted: str, text: str) -> None:
    bench.root.script = writes(f"try:\n    SUBMIT({submitted})\nexcept Exception:\n    pass\nSUBMIT('caught')")
    done = await bench.ask()
    assert (done.outcome, done.text) == ("completed", text)
    assert bench.of(StepDone)[0].text == text
    assert all(event.text for event in bench.of(TextDelta))


async def test_a_text_of_5_megabytes_is_streamed(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT(''.join(f'line {n}: é\\n' for n in range(380_000)))")
    start = time.monotonic()
    done = await bench.ask()
    assert time.monotonic() - start < 15
    assert len(done.text.encode()) > 5_000_000
    assert done.text == "".join(f"line {n}: é\n" for n in range(380_000))
    assert len(bench.of(TextDelta)) > 1000


async def test_an_answer_that_is_too_long_to_submit_is_an_observation(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT('x' * 2000)", "SUBMIT('short')")
    assert (await bench.ask(limits=Limits(submit_bytes=1000))).text == "short"
    assert "the answer is longer than 1,000 bytes" in bench.observations[0]


async def test_tool_intents_of_an_answer_are_held_back(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT('I write it.\\nTOOL_INTENT: write it\\n<<<A\\nx\\n>>>A')")
    assert (await bench.ask()).text == "I write it."
    assert bench.of(StepDone)[0].intents == (ToolIntent(text="write it", blocks={"A": "x"}),)


PERSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]},
    },
}


async def test_an_answer_that_does_not_fit_the_format_is_an_observation(bench: Bench) -> None:
    bench.root.script = writes(
        "SUBMIT('36')", "SUBMIT('not JSON')", "SUBMIT({'age': 'x'})", "SUBMIT('[' * 100_000)", "SUBMIT({'age': 36})"
    )
    done = await bench.ask(sampling=Sampling(response_format=PERSON))
    assert (done.text, done.outcome) == ('{"age": 36}', "completed")
    assert [seen.removeprefix("SUBMIT's answer does not fit: ")[:29] for seen in bench.observations[:4]] == [
        "$: 36 is not of type 'object'",
        "it is not JSON (Expecting val",
        "$.age: 'x' is not of type 'in",
        "it is nested too deeply",
    ]
    assert [event.answer for event in bench.of(CodeRan)] == [None, None, None, None, '{"age": 36}']
    assert '"required": ["age"]' in said(bench.root.calls[0].body)[-1], "the root LM is told the schema"


async def test_what_was_printed_before_an_answer_that_does_not_fit_is_seen(bench: Bench) -> None:
    bench.root.script = writes("print('a clue')\nSUBMIT('36')", "SUBMIT({'age': 36})")
    await bench.ask(sampling=Sampling(response_format=PERSON))
    assert bench.observations[0].startswith("a clue\nSUBMIT's answer does not fit")


async def test_a_child_is_not_held_to_the_format(bench: Bench) -> None:
    bench.root.script = writes("x = rlm_query('child it', 'text')", "SUBMIT({'age': int(x)})", child=["SUBMIT('36')"])
    done = await bench.ask(sampling=Sampling(response_format=PERSON))
    assert done.text == '{"age": 36}'
    (child,) = [call.body for call in bench.root.calls if "child it" in said(call.body)[-1]]
    assert not [text for text in said(child) if "SUBMIT takes JSON" in text or "json_schema" in text]


@pytest.mark.parametrize(
    ("sampling", "text", "reason"),
    [
        (Sampling(stop=("STOP",)), "one two ", None),
        (Sampling(stop=("four", "two", "nowhere")), "one ", None),
        (Sampling(max_tokens=2), "one two ", "max_output_tokens"),
        (Sampling(max_tokens=2, stop=("two",)), "one ", None),
        (Sampling(max_tokens=1000), "one two STOP three four", None),
        (Sampling(stop=("one",)), "", None),
    ],
)
async def test_an_answer_is_bounded_as_the_user_wants_it(
    bench: Bench, sampling: Sampling, text: str, reason: str | None
) -> None:
    bench.root.script = writes("SUBMIT('one two STOP three four')")
    done = await bench.ask(sampling=sampling)
    assert (done.text, done.reason) == (text, reason)
    assert done.outcome == ("incomplete" if reason else "completed")
    assert bench.of(StepDone)[0].finish_reason == ("length" if reason else "stop")
    assert "stop" not in bench.root.calls[0].body, "the code is not"


async def test_an_answer_is_not_cut_within_a_character(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT('😀é字' * 10)")
    assert (await bench.ask(sampling=Sampling(max_tokens=2))).text == "😀é"


async def test_a_conclusion_is_bounded_by_its_model(bench: Bench) -> None:
    bench.root.script = writes("x = 1")
    await bench.ask(sampling=Sampling(max_tokens=77, stop=("END",), temperature=0.5), max_iterations=1)
    body = bench.root.calls[-1].body
    assert (body["max_tokens"], body["stop"], body["temperature"]) == (77, ["END"], 0.5)


# --- calls of the sub-LM


async def test_code_asks_the_sub_lm(bench: Bench) -> None:
    bench.root.script = writes("answer = llm_query('é one')\nprint(answer)", "SUBMIT(answer)")
    assert (await bench.ask()).text == "É ONE"
    assert [call.body["messages"] for call in bench.sub.calls] == [[{"role": "user", "content": "é one"}]]
    (called,) = bench.of(ModelCalled)
    assert (called.session, called.turn, called.prompt, called.reply, called.error) == ("s", 1, "é one", "É ONE", None)
    assert called.usage == Usage(prompt=7, completion=2)


async def test_a_sub_lms_thinking_is_dropped(bench: Bench) -> None:
    bench.sub.script = in_turn(Reply(["<think>hm</think>\n\nYes"], reasoning=["hm"]))
    bench.root.script = writes("SUBMIT(llm_query('?'))")
    assert (await bench.ask()).text == "Yes"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(status=500, error={"message": "on fire"}), "the sub_lm backend: on fire"),
        (Reply(status=400, error={"message": "no such knob"}), "the sub_lm backend: no such knob"),
        (Reply(status=400, error={"message": "too long", "code": "context_length_exceeded"}), "too long"),
        (Reply(status=401, error={"message": "bad key"}), "the sub_lm backend: bad key"),
        (Reply(["Ye"], fault="cut"), "the sub_lm backend: "),
        (Reply(fault="drop"), "the sub_lm backend: "),
    ],
)
async def test_a_sub_lm_that_fails_is_a_runtime_error_of_the_code(bench: Bench, reply: Reply, told: str) -> None:
    bench.sub.script = in_turn(reply, reply, Reply(["Yes"]))
    bench.root.script = writes(
        "llm_query('first')",
        "try:\n    llm_query('second')\nexcept RuntimeError as error:\n    print('caught', error)",
        "SUBMIT(llm_query('third'))",
    )
    assert (await bench.ask()).text == "Yes"
    assert f"RuntimeError: {told}" in bench.observations[0]
    assert bench.observations[1].startswith(f"caught {told}")
    assert [event.error is None for event in bench.of(ModelCalled)] == [False, False, True]


async def test_a_batch_is_asked_at_once_and_answered_in_order(bench: Bench) -> None:
    def slower_first(body: dict[str, Any]) -> Reply:
        return Reply([said(body)[-1].upper()], first_delay=0.4 - 0.02 * int(said(body)[-1][1:]))

    bench.sub.script = slower_first
    bench.root.script = writes("SUBMIT(llm_query_batched([f'p{n}' for n in range(20)]))")
    start = time.monotonic()
    assert (await bench.ask()).text == json.dumps([f"P{n}" for n in range(20)])
    assert time.monotonic() - start < 3, "one after another they take 4.2 s"


async def test_an_empty_batch_is_no_call(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT(llm_query_batched([]))")
    assert (await bench.ask()).text == "[]"
    assert not bench.sub.calls


async def test_a_batch_of_which_some_fail_says_how_many(bench: Bench) -> None:
    bench.sub.script = lambda body: Reply(status=500) if said(body)[-1] in ("b", "d") else echo(body)
    bench.root.script = writes("llm_query_batched(list('abcd'))", "SUBMIT('went on')")
    assert (await bench.ask()).text == "went on"
    assert "RuntimeError: 2 of 4 calls failed; the first: the sub_lm backend: scripted failure" in bench.observations[0]
    assert len(bench.sub.calls) == 4


ANIMALS = "['cat', 'dog']"


def barks(body: dict[str, Any]) -> Reply:
    """A sub-LM that calls a dog what barks, held to the form or not."""
    label = "dog" if "barks" in said(body)[-1] else "cat"
    held = body.get("response_format")
    return Reply([json.dumps({"label": label}) if held else f"It is a {label}."], usage=usage(9, 4))


async def test_each_text_is_labelled_by_a_call_of_its_own(bench: Bench) -> None:
    bench.sub.script = barks
    bench.root.script = writes(
        f"SUBMIT(classify(['it barks', 'it purrs', 'it barks'], {ANIMALS}, [('it bites', 'dog')]))"
    )
    assert (await bench.ask()).text == json.dumps(["dog", "cat", "dog"])
    first = bench.sub.calls[0].body
    assert [message["role"] for message in first["messages"]] == ["system", "user", "assistant", "user"]
    assert said(first)[0] == f"{Classify.instructions}\n\nLabels: cat, dog"
    assert said(first)[1:3] == ["it bites", "dog"]
    assert "logprobs" not in first
    assert first["response_format"]["json_schema"]["schema"]["properties"]["label"]["enum"] == ["cat", "dog"]
    assert [event.reply for event in bench.of(ModelCalled)] == ["dog", "cat", "dog"]
    assert sum((event.usage for event in bench.of(ModelCalled)), Usage()) == Usage(prompt=27, completion=12)


async def test_a_sub_lm_that_cannot_be_held_to_labels_is_read_for_one(bench: Bench) -> None:
    def free(body: dict[str, Any]) -> Reply:
        if "response_format" in body:
            return Reply(status=400, error={"message": "no such knob"})
        return Reply(["A cat, or a dog."]) if "hides" in said(body)[-1] else barks(body)

    bench.sub.script = free
    bench.root.script = writes(f"print(classify(['it barks', 'it hides'], {ANIMALS}))", "SUBMIT(1)")
    await bench.ask()
    assert bench.observations[0] == "['dog', None]"


@pytest.mark.parametrize(
    "asked",
    ["'text', ['a']", "['text'], []", "['text'], 'a'", "[1], ['a']", "['text'], ['a'], [('x', 'b')]", "['text']", ""],
)
async def test_what_cannot_be_labelled_is_told_to_the_code(bench: Bench, asked: str) -> None:
    bench.root.script = writes(f"classify({asked})", "SUBMIT('went on')")
    assert (await bench.ask()).text == "went on"
    assert "RuntimeError: classify(texts, labels, examples)" in bench.observations[0]
    assert not bench.sub.calls


@asynccontextmanager
async def telling(bench: Bench) -> AsyncIterator[Backends]:
    """The models, the sub-LM one that tells how likely tokens are."""
    sub = bench.backends.settings.sub_lm
    assert sub is not None
    able = sub.model_copy(update={"capabilities": frozenset({"json_schema", "logprobs"})})
    models = bench.backends.settings.model_copy(update={"sub_lm": able})
    backends = Backends(models, ResilienceSettings(max_retries=0))
    try:
        yield backends
    finally:
        await backends.aclose()


def leans(body: dict[str, Any]) -> Reply:
    """A sub-LM that takes everything for a cat, and what barks a little less so."""
    text = said(body)[-1]
    if "response_format" in body:
        return Reply(['{"label": "dog"}'], usage=usage(9, 4))
    top = {"The": -0.1, "c": -9.0, "cat": -0.2, "dog": -1.0 if "barks" in text else -2.0, "cow": -3.0}
    if "moos" in text:
        top["c"] = -0.1  # a cat, or a cow
    return Reply(["The"], top=top, usage=usage(9, 1))


async def test_a_label_is_what_is_likelier_than_of_a_text_that_says_nothing(bench: Bench) -> None:
    bench.sub.script = leans
    bench.root.script = writes("SUBMIT(classify(['it barks', 'it purrs'], ['cat', 'dog', 'cow']))")
    async with telling(bench) as backends:
        assert (await bench.ask(backends=backends)).text == json.dumps(["dog", "cat"])
    assert [said(call.body)[-1] for call in bench.sub.calls[:2]] == ["N/A", "?"], "no more than there are texts"
    assert sorted(said(call.body)[-1] for call in bench.sub.calls[2:]) == ["it barks", "it purrs"]
    for call in bench.sub.calls:
        assert (call.body["max_tokens"], call.body["logprobs"], call.body["top_logprobs"]) == (1, True, 20)
    assert [event.reply for event in bench.of(ModelCalled)][2:] == ["dog", "cat"]
    assert sum((event.usage for event in bench.of(ModelCalled)), Usage()) == Usage(prompt=36, completion=4)


async def test_a_label_that_tokens_do_not_tell_is_asked_for(bench: Bench) -> None:
    bench.sub.script = leans
    bench.root.script = writes("SUBMIT(classify(['it moos', 'it barks'], ['cat', 'dog', 'cow']))")
    async with telling(bench) as backends:
        assert (await bench.ask(backends=backends)).text == json.dumps(["dog", "dog"])
    assert [said(call.body)[-1] for call in bench.sub.calls if "response_format" in call.body] == ["it moos"]
    assert next(event.usage for event in bench.of(ModelCalled) if "moos" in event.prompt).completion == 5, "of both"


@pytest.mark.parametrize("refusal", [Reply(status=400, error={"message": "no such knob"}), Reply(["It is a "])])
async def test_a_sub_lm_that_does_not_tell_after_all_is_held_to_the_labels(bench: Bench, refusal: Reply) -> None:
    bench.sub.script = lambda body: refusal if "logprobs" in body else barks(body)
    bench.root.script = writes(f"SUBMIT(classify(['it barks', 'it purrs'], {ANIMALS}))")
    async with telling(bench) as backends:
        assert (await bench.ask(backends=backends)).text == json.dumps(["dog", "cat"])
    assert sum("logprobs" in call.body for call in bench.sub.calls) == 2, "it is not asked like that again"


async def test_a_budget_that_ends_while_it_is_seen_what_a_sub_lm_leans_to_is_told(bench: Bench) -> None:
    bench.sub.script = leans
    bench.root.script = writes(f"classify(['it barks', 'it purrs'], {ANIMALS})")
    async with telling(bench) as backends:
        done = await bench.ask(backends=backends, budget=BudgetSettings(model_calls=2))
    assert done.reason == "budget_model_calls"
    assert len(bench.sub.calls) == 1


@pytest.mark.parametrize("tells", [False, True])
async def test_labels_are_replayed_from_the_record(bench: Bench, tells: bool) -> None:
    bench.sub.script = leans if tells else barks
    bench.root.script = writes(
        f"found = classify(['it barks', 'it purrs', '?'], {ANIMALS}, {{'it bites': 'dog'}})", "SUBMIT(found)"
    )
    async with telling(bench) if tells else nullcontext(bench.backends) as backends:
        whole = (await bench.ask(backends=backends)).text
        recorded = [event for event in bench.trajectory if not isinstance(event, CodeRan)]
        paid = len(bench.sub.calls)
        assert (await bench.ask(recorded=recorded, backends=backends)).text == whole
    assert len(bench.sub.calls) == paid


async def test_calls_of_many_threads_are_made_at_once(bench: Bench) -> None:
    bench.sub.script = lambda body: Reply([said(body)[-1]], first_delay=0.2)
    bench.root.script = writes(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(16) as pool:\n    SUBMIT(list(pool.map(llm_query, map(str, range(16)))))"
    )
    start = time.monotonic()
    assert (await bench.ask()).text == json.dumps([str(n) for n in range(16)])
    assert time.monotonic() - start < 2.5, "one after another they take 3.2 s"


@pytest.mark.parametrize(("status", "error"), [(500, BackendUnavailable), (400, BackendRejected)])
async def test_a_root_lm_that_fails_ends_the_run(bench: Bench, status: int, error: type[Exception]) -> None:
    bench.root.script = writes("x = 1", Reply(status=status))
    with pytest.raises(error):
        await bench.ask()
    assert len(bench.root.calls) == 2


# --- child sessions


async def test_a_child_has_its_own_context_and_question(bench: Bench) -> None:
    bench.root.script = writes(
        "x = 'the parents own'\nanswer = rlm_query('child, how long?', context[:16])",
        "SUBMIT(answer + ', ' + x)",
        child=["y = [context, question, 'x' in globals()]", "SUBMIT(y)"],
    )
    done = await bench.ask()
    assert done.text == '["Nothing of note.", "child, how long?", false], the parents own'
    root, child = bench.of(SessionOpened)
    assert (root.session, root.depth, child.depth) == ("s", 0, 1)
    assert child.session.startswith("s/1.")
    assert (child.question, child.context) == (
        "child, how long?",
        "`context` is a str of 16 characters (about 4 tokens):\nNothing of note.",
    )
    of_child = [call.body for call in bench.root.calls if said(call.body)[1].startswith("child, how long?")]
    assert len(of_child) == 2
    assert not [text for body in of_child for text in said(body) if QUESTION in text], "it knows nothing of its parent"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("['a', 'b']", '["list", ["a", "b"]]'),
        ("[{'role': 'user', 'content': 'hi'}]", '["list", [{"role": "user", "content": "hi"}]]'),
        ("''", '["str", ""]'),
        ("12", '["str", "12"]'),
    ],
)
async def test_a_childs_context_may_have_any_shape(bench: Bench, given: str, seen: str) -> None:
    told = ["SUBMIT([type(context).__name__, context])"]
    bench.root.script = writes(f"SUBMIT(rlm_query('child', {given}))", child=told)
    assert (await bench.ask()).text == seen


async def test_at_the_greatest_depth_a_child_is_a_plain_call(bench: Bench) -> None:
    bench.root.script = writes(
        "SUBMIT(rlm_query('child', 'some text'))", child=["SUBMIT(rlm_query('grandchild', ['a', 'b']))"]
    )
    assert (await bench.ask(max_depth=1)).text == '["A", "B"]\n\nGRANDCHILD'
    assert [said(call.body) for call in bench.sub.calls] == [['["a", "b"]\n\ngrandchild']]
    assert [event.depth for event in bench.of(SessionOpened)] == [0, 1]
    assert (await bench.ask(max_depth=0)).text == "SOME TEXT\n\nCHILD"


async def test_children_work_side_by_side(bench: Bench) -> None:
    codes = writes(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    SUBMIT([*pool.map(lambda n: rlm_query('child', str(n)), range(8))])",
        child=["x = context", "SUBMIT(x)"],
    )
    bench.root.script = lambda body: Reply(codes(body).pieces, first_delay=0.25)
    start = time.monotonic()
    assert (await bench.ask()).text == json.dumps([str(n) for n in range(8)])
    assert time.monotonic() - start < 3.5, "one after another they take 4 s for their calls alone"
    assert len({event.session for event in bench.of(SessionOpened)}) == 9


async def test_the_same_child_again_is_another_session(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT([rlm_query('child', 'a') for _ in range(3)])", child=["SUBMIT(1)"])
    assert (await bench.ask()).text == '["1", "1", "1"]'
    _, first, second, third = [event.session for event in bench.of(SessionOpened)]
    assert (second, third) == (f"{first}.2", f"{first}.3")


async def test_a_child_that_fits_is_answered_by_one_call(bench: Bench) -> None:
    codes = writes("answer = rlm_query('How long?', ['one', 'two'])", "SUBMIT(answer)")

    def script(body: dict[str, Any]) -> Reply:
        return Reply(["Very long."], usage=usage(5, 2)) if "How long?" in said(body)[-1] else codes(body)

    bench.root.script = script
    done = await bench.ask(mode="auto", context=CONTEXT * 1000)
    assert done.text == "Very long."
    assert said(bench.root.calls[1].body)[1:] == ["one\n\ntwo\n\nHow long?"]
    assert len(bench.root.calls) == 3
    (called,) = bench.of(ModelCalled)
    assert (called.turn, called.reply, called.prompt) == (0, "Very long.", "one\n\ntwo\n\nHow long?")
    assert done.usage == Usage(prompt=205, completion=22)


async def test_a_child_that_does_not_fit_explores(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT(rlm_query('child', context))", child=["SUBMIT(len(context))"])
    assert (await bench.ask(mode="auto", context=CONTEXT * 1000)).text == str(len(CONTEXT) * 1000)
    assert [event.depth for event in bench.of(SessionOpened)] == [0, 1]


@pytest.mark.parametrize("mode", ["explore", "auto"])
async def test_a_child_whose_model_fails_is_a_runtime_error_of_the_code(bench: Bench, mode: str) -> None:
    codes = writes("rlm_query('child', 'text')", "SUBMIT('went on')")
    bench.root.script = lambda body: codes(body) if QUESTION in said(body)[1] else Reply(status=500)
    assert (await bench.ask(mode=mode, context=CONTEXT * 1000)).text == "went on"
    assert "RuntimeError: the " in bench.observations[0]
    assert "scripted failure" in bench.observations[0]


async def test_a_child_that_takes_all_its_turns_concludes(bench: Bench) -> None:
    bench.root.script = writes("SUBMIT(rlm_query('child', 'text'))", child=["print('looking')"])
    done = await bench.ask(max_iterations=3)
    assert (done.text, done.reason) == (BEST, None)
    (concluded,) = bench.of(Concluded)
    assert (concluded.reason, concluded.session) == ("budget_iterations", bench.of(SessionOpened)[1].session)


# --- the budget


async def test_the_last_turn_concludes_from_what_was_printed(bench: Bench) -> None:
    bench.root.script = writes("print('first clue')", "x = 1", "print('last clue')")
    done = await bench.ask(max_iterations=3)
    assert (done.outcome, done.text, done.reason) == ("completed", BEST, "budget_iterations")
    assert said(bench.root.calls[-1].body)[-1] == (
        f"{QUESTION}\n\nWhat was found:\n\nfirst clue\n\n(Nothing was printed. Use print to see something.)"
        "\n\nlast clue"
    )
    assert len(bench.root.calls) == 4
    (concluded,) = bench.of(Concluded)
    assert (concluded.answer, concluded.reason) == (BEST, "budget_iterations")
    assert concluded.usage == Usage(prompt=30, completion=3)


AGAIN = "turns = [*globals().get('turns', []), 1]\nprint('again', len(turns))"


@pytest.mark.parametrize(
    ("limits", "endless", "reason"),
    [
        (BudgetSettings(iterations=3), AGAIN, "budget_iterations"),
        (BudgetSettings(model_calls=5), AGAIN, "budget_model_calls"),
        (BudgetSettings(model_calls=5), f"{AGAIN}\nprint(llm_query('?'))", "budget_model_calls"),
        (BudgetSettings(tokens=350), AGAIN, "budget_tokens"),
        (BudgetSettings(tokens=350), f"{AGAIN}\nprint(llm_query('?'))", "budget_tokens"),
        (BudgetSettings(seconds=0.7), "import time\ntime.sleep(0.2)", "budget_seconds"),
        (BudgetSettings(iterations=5), "print(rlm_query('child', 'text'))", "budget_iterations"),
    ],
)
async def test_each_part_of_the_budget_ends_in_a_conclusion(
    bench: Bench, limits: BudgetSettings, endless: str, reason: str
) -> None:
    bench.root.script = writes(endless, child=[AGAIN])
    done = await bench.ask(budget=limits)
    assert (done.outcome, done.text, done.reason) == ("completed", BEST, reason)
    assert [concluding(call.body) for call in bench.root.calls[-2:]] == [False, True]
    turns, calls = len(bench.root.calls) - 1, len(bench.root.calls) - 1 + len(bench.sub.calls)
    assert turns <= limits.iterations
    assert calls <= limits.model_calls
    if reason != "budget_seconds":
        assert 3 <= calls <= 6


SLOWLY = Reply([code("SUBMIT(1)")], first_delay=30)


@pytest.mark.parametrize(
    ("script", "sub_delay"),
    [
        (writes("x = 1", SLOWLY), 0),
        (writes("llm_query('?')", "x = 1"), 30),
        (writes("llm_query_batched(['?'] * 5)", "x = 1"), 30),
        (writes("while True: pass"), 0),
        (writes("rlm_query('child', 'text')", child=["while True: pass"]), 0),
        (writes("while True:\n    try: llm_query('?')\n    except RuntimeError: pass"), 30),
    ],
    ids=["root LM", "sub-LM", "batch", "code", "child's code", "code that catches"],
)
async def test_wherever_the_time_ends_the_run_concludes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, script: Script, sub_delay: float
) -> None:
    monkeypatch.setattr("programs.turns._LAST_SECONDS", 0.2)
    bench.root.script = script
    bench.sub.script = in_turn(Reply(["late"], first_delay=sub_delay))
    start = time.monotonic()
    done = await bench.ask(budget=BudgetSettings(seconds=0.6))
    assert (done.outcome, done.text, done.reason) == ("completed", BEST, "budget_seconds")
    assert time.monotonic() - start < 5


async def test_what_is_left_is_told_each_turn(bench: Bench) -> None:
    bench.root.script = writes("llm_query('?')", "x = 1", "SUBMIT(1)")
    await bench.ask(budget=BudgetSettings(iterations=4, model_calls=9, seconds=100), max_iterations=20)
    assert [event.budget for event in bench.of(CodeWritten)] == [
        "Budget left: 4 turns, 9 model calls, 2 min.",
        "Budget left: 3 turns, 7 model calls, 2 min.",
        "Budget left: 2 turns, 6 model calls, 2 min.",
    ]
    for call, event in zip(bench.root.calls, bench.of(CodeWritten), strict=True):
        assert said(call.body)[-1].endswith(event.budget)


async def test_a_child_that_spends_the_budget_leaves_the_conclusion_to_its_parent(bench: Bench) -> None:
    bench.root.script = writes(
        "try: rlm_query('child', 'text')\nexcept RuntimeError as error: print('seen:', error)", child=["print('below')"]
    )
    done = await bench.ask(budget=BudgetSettings(iterations=4))
    assert (done.text, done.reason) == (BEST, "budget_iterations")
    assert "seen: The budget is spent: the run's 4 turns are taken." in said(bench.root.calls[-1].body)[-1]
    assert len(bench.of(Concluded)) == 1


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(status=500), BackendUnavailable),
        (Reply(status=400), BackendRejected),
        (Reply(status=400, error={"message": "long", "code": "context_length_exceeded"}), ContextTooLong),
    ],
)
async def test_a_conclusion_that_fails_fails_the_run(bench: Bench, reply: Reply, error: type[Exception]) -> None:
    codes = writes("print('clue')")
    bench.root.script = lambda body: reply if concluding(body) else codes(body)
    with pytest.raises(error):
        await bench.ask(max_iterations=2)
    assert not bench.of(Concluded)


async def test_a_run_without_time_to_conclude_is_incomplete(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_CONCLUDING_SECONDS", 0.1)
    codes = writes("import time\ntime.sleep(0.5)")
    bench.root.script = lambda body: Reply([BEST], first_delay=30) if concluding(body) else codes(body)
    done = await bench.ask(budget=BudgetSettings(seconds=0.3))
    assert (done.outcome, done.text, done.reason) == ("incomplete", "", "budget_seconds")
    assert done.usage == Usage(prompt=100, completion=10)


async def test_usage_is_the_sum_over_the_tree(bench: Bench) -> None:
    bench.root.script = writes(
        "a = llm_query('one')\nb = llm_query_batched(['two', 'three'])\nc = rlm_query('child', 'text')",
        "print(a)",
        child=["llm_query('four')", "SUBMIT(1)"],
    )
    done = await bench.ask(max_iterations=2)
    assert done.reason == "budget_iterations"
    assert done.usage == Usage(prompt=4 * 100 + 4 * 7 + 30, completion=4 * 10 + 4 * 2 + 3)
    assert done.usage == sum((event.usage for event in bench.trajectory), Usage())
    assert bench.of(StepDone)[0].usage == Usage()


async def test_usage_is_estimated_about_right_where_none_is_told(bench: Bench) -> None:
    bench.root.script = writes(*[Reply([code(f"print('{n}' * 3000)")]) for n in range(5)], Reply([code("SUBMIT(1)")]))
    done = await bench.ask()
    assert done.usage.estimated
    for event, sent in zip(bench.of(CodeWritten), sizes(bench.root.calls), strict=True):
        assert 0.95 * sent - 20 < event.usage.prompt < 1.05 * sent + 20


# --- a prompt that grows


def sizes(calls: Iterable[Call]) -> list[int]:
    """About how many tokens the prompts of these calls have."""
    return [sum(map(estimate_tokens, said(call.body))) for call in calls]


def by_call(*codes: str) -> Script:
    """A root LM that writes these, one a call, whatever it is shown."""
    left = list(codes)
    return lambda body: Reply([code(left.pop(0))], usage=usage(100, 10))


def holding(most: int, script: Script) -> Script:
    """A model with a window of so many tokens."""

    def bounded(body: dict[str, Any]) -> Reply:
        if sum(map(estimate_tokens, said(body))) > most:
            return Reply(status=400, error={"message": "too long", "code": "context_length_exceeded"})
        return script(body)

    return bounded


@pytest.mark.parametrize("character", ["x", "字", "😀"])
async def test_a_prompt_that_nears_the_window_is_compacted_and_the_run_goes_on(bench: Bench, character: str) -> None:
    turns = [f"print('{n} ' + {character!r} * 2500)" for n in range(25)]
    bench.root.script = by_call(*turns, "SUBMIT('done')")
    assert (await bench.ask(max_iterations=30)).text == "done"
    bodies = [call.body["messages"] for call in bench.root.calls]
    assert len(bodies) == 26
    assert max(sizes(bench.root.calls)) <= WINDOW * 3 / 4
    assert all(body[0] == bodies[0][0] and body[1]["content"].startswith(QUESTION) for body in bodies)
    hops = [after[: len(before)] != before for before, after in itertools.pairwise(bodies)]
    assert True in hops
    if character == "x":
        assert sum(hops) <= 6, "each gives up half of the room at once"


async def test_the_newest_observation_is_in_each_prompt(bench: Bench) -> None:
    bench.root.script = by_call(*[f"print('clue {n} ' + 'x' * 3500 + ' end {n}')" for n in range(20)], "SUBMIT('done')")
    await bench.ask(max_iterations=30)
    for n, call in enumerate(bench.root.calls[1:]):
        assert said(call.body)[-1].startswith(f"clue {n} xxx")
        assert f"xxx end {n}\n\nBudget left" in said(call.body)[-1]


async def test_long_tracebacks_do_not_fill_the_window(bench: Bench) -> None:
    raising = (
        "def f(n):\n    if n: g(n - 1)\n    raise ValueError('字' * 1500 + 'the end')\n"
        "def g(n):\n    f(n)\nprint('字' * 4000)\nf(9)"
    )
    bench.root.script = holding(WINDOW * 3 // 4, by_call(*[f"{raising}  # {n}" for n in range(8)], "SUBMIT('done')"))
    assert (await bench.ask(max_iterations=30)).text == "done"
    assert len(bench.root.calls) == 9, "none was refused"
    assert "字the end\n\nBudget left" in said(bench.root.calls[-1].body)[-1]


@pytest.mark.parametrize("window", [WINDOW, 32_000, None])
async def test_a_root_lm_that_holds_less_than_was_said_is_asked_with_less(bench: Bench, window: int | None) -> None:
    bench.root.script = holding(5000, by_call(*[f"print('{n} ' + 'x' * 3900)" for n in range(12)], "SUBMIT('done')"))
    models = ModelsSettings(generator=ModelSettings(base_url=bench.root.base_url, model="root", context_window=window))
    backends = Backends(models)
    try:
        done = await bench.ask(max_iterations=30, backends=backends, limits=Limits(output_chars=4000))
    finally:
        await backends.aclose()
    assert done.text == "done"
    assert 1 <= len(bench.root.calls) - 13 <= 3, "so often it was refused"


async def test_a_root_lm_that_takes_no_prompt_ends_the_run(bench: Bench) -> None:
    bench.root.script = holding(10, writes("SUBMIT(1)"))
    with pytest.raises(ContextTooLong):
        await bench.ask()
    assert len(bench.root.calls) <= 3


# --- long conversations


def conversation(turns: int, words: int) -> list[Message]:
    spoken: list[Message] = [Message(role="system", content="Be kind.")]
    for n in range(turns):
        spoken.append(Message(role="user", content=f"Question {n}? " + "word " * words))
        spoken.append(Message(role="assistant", content=f"Answer {n}."))
    return [*spoken, Message(role="user", content=QUESTION)]


async def test_of_a_long_conversation_what_is_not_shown_is_the_context(bench: Bench) -> None:
    messages = conversation(200, 100)
    bench.root.script = writes("SUBMIT([question, [m['content'] for m in context], [m['role'] for m in context]])")
    done = await bench.ask(mode="auto", messages=messages)
    question, texts, roles = json.loads(done.text)
    assert question == QUESTION
    assert texts == [message.content for message in messages[1 : len(texts) + 1]], "from the oldest on"
    assert roles == [message.role for message in messages[1 : len(texts) + 1]]
    shown = bench.root.calls[0].body["messages"]
    recent = messages[len(texts) + 1 :]
    assert len(recent) > 10
    assert shown[0]["content"].endswith("Be kind.")
    assert [message["content"] for message in shown[1:-1]] == [
        message.content if message.role == "user" else code(f"SUBMIT({message.content!r})") for message in recent[:-1]
    ]
    assert [message["role"] for message in shown[1:]] == [message.role for message in recent]
    assert shown[-1]["content"].startswith(f"{QUESTION}\n\n`context` is a list of {len(texts)} messages")


async def test_a_conversation_that_fits_comfortably_is_not_explored(bench: Bench) -> None:
    bench.root.script = in_turn(Reply(["Hello."]))
    assert (await bench.ask(mode="auto", messages=conversation(5, 100))).text == "Hello."
    assert not bench.of(SessionOpened)


async def test_a_long_message_is_explored_and_its_question_found(bench: Bench) -> None:
    text = f"{'Nothing of note was said. ' * 4000}\n\nThe code is 4711.\n\n{QUESTION}"
    bench.root.script = writes("print(type(context), len(context))", "SUBMIT([question, grep('code is 4')])")
    done = await bench.ask(mode="auto", messages=[Message(role="user", content=text)])
    assert json.loads(done.text) == [QUESTION, ["The code is 4711."]]
    assert bench.observations[0] == f"<class 'str'> {len(text) - len(QUESTION) - 2}"
    assert max(sizes(bench.root.calls)) < WINDOW / 2


async def test_earlier_answers_are_told_as_code_and_a_conclusion_is_asked_for_with_their_words(bench: Bench) -> None:
    said_before = [Message(role="user", content="Hello?"), Message(role="assistant", content='"Yes?"\nGo on.')]
    bench.root.script = writes("1 + 1")
    await bench.ask(messages=[*said_before, Message(role="user", content=QUESTION)], max_iterations=1)
    asked, concluded = bench.root.calls
    assert said(asked.body)[2] == code("""SUBMIT('"Yes?"\\nGo on.')""")
    assert said(concluded.body)[2] == '"Yes?"\nGo on.'


@pytest.mark.parametrize("words", [10_000, 40_000])
async def test_a_window_that_nobody_knows_is_found_out(bench: Bench, words: int) -> None:
    text = "word " * words + QUESTION
    bench.root.script = holding(8000, writes("print(len(context))", "SUBMIT(len(context))"))
    backends = Backends(ModelsSettings(generator=ModelSettings(base_url=bench.root.base_url, model="root")))
    try:
        done = await bench.ask(mode="auto", messages=[Message(role="user", content=text)], backends=backends)
    finally:
        await backends.aclose()
    assert done.text == str(len(text))


# --- the end, at any moment

THREADS = (
    "from concurrent.futures import ThreadPoolExecutor\n"
    "with ThreadPoolExecutor(4) as pool:\n    SUBMIT([*pool.map(lambda n: rlm_query('child', str(n)), range(4))])"
)


@pytest.mark.parametrize(
    ("script", "sub_delay", "calls", "guests_then"),
    [
        (in_turn(SLOWLY), 0, 1, 1),
        (writes("x = 1", SLOWLY), 0, 2, 1),
        (writes("llm_query('?')"), 30, 2, 1),
        (writes("llm_query_batched(['?'] * 20)"), 30, 21, 1),
        (writes("while True: pass"), 0, 1, 1),
        (writes("rlm_query('child', 'text')", child=["while True: pass"]), 0, 2, 2),
        (writes("rlm_query('child', 'text')", child=["llm_query('?')"]), 30, 3, 2),
        (writes(THREADS, child=["llm_query('?')"]), 30, 9, 5),
    ],
    ids=["first call", "later call", "sub-LM", "batch", "code", "child's code", "child's sub-LM", "children"],
)
async def test_a_run_that_is_cancelled_leaves_nothing(
    bench: Bench, script: Script, sub_delay: float, calls: int, guests_then: int
) -> None:
    bench.root.script = script
    bench.sub.script = in_turn(Reply(["late"], first_delay=sub_delay))
    run = asyncio.create_task(bench.ask())
    await until(lambda: len(bench.root.calls) + len(bench.sub.calls) == calls and len(guests()) == guests_then)
    assert not run.done()
    start = time.monotonic()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await nothing_is_left(bench)
    assert time.monotonic() - start < 3


async def test_a_run_that_is_cancelled_at_any_time_leaves_nothing(bench: Bench) -> None:
    codes = writes("x = llm_query('?')", THREADS, child=["llm_query_batched(['?'] * 3)", "print(context)", "SUBMIT(1)"])
    bench.root.script = lambda body: Reply(codes(body).pieces, first_delay=0.005)
    bench.sub.script = lambda _: Reply(["so"], first_delay=0.005)
    start = time.monotonic()
    await bench.ask()
    needed = time.monotonic() - start
    dice = random.Random(8)
    for _ in range(12):
        run = asyncio.create_task(bench.ask())
        await asyncio.wait([run], timeout=dice.uniform(0, needed))
        run.cancel()
        await asyncio.wait([run])
        await nothing_is_left(bench)


@pytest.mark.parametrize("code", ["llm_query('?')", "SUBMIT('x' * 5000)"])
@pytest.mark.parametrize("kind", [SessionOpened, CodeWritten, ModelCalled, CodeRan, TextDelta, StepDone])
async def test_who_stops_listening_ends_the_run(bench: Bench, kind: type[Event], code: str) -> None:
    bench.root.script = writes(code, "SUBMIT('x' * 5000)")
    rants = RANTS(bench.backends, LoopSettings(mode="explore"))
    rants.explore.write.demos = []
    async with aclosing(rants.run(ASKED)) as events:
        async for event in events:
            if isinstance(event, kind):
                break
    assert len(asyncio.all_tasks()) == 1
    await nothing_is_left(bench)


async def test_who_stops_listening_to_a_run_that_has_failed_is_not_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.root.script = in_turn(Reply(status=500))
    async with aclosing(RANTS(bench.backends, LoopSettings(mode="explore")).run(ASKED)) as events:
        assert isinstance(await anext(events), SessionOpened)
        await until(lambda: len(asyncio.all_tasks()) == 1)
    del events
    gc.collect()
    assert not caplog.records


# --- going on after a crash


def rich(body: dict[str, Any]) -> Reply:
    """A root LM that does all that one can do, and a generator for the child that fits."""
    if said(body)[0].startswith(Generate.instructions):
        return Reply(["It does."], usage=usage(20, 2))
    return writes(
        "x = llm_query('one')\nprint(x)",
        "import os\nos._exit(1)",
        "x = llm_query('one')\ny = llm_query_batched(['two', 'three'])\n"
        "try: llm_query('fail')\nexcept RuntimeError as error: z = str(error)\nprint(y, z)",
        "print(rlm_query('child', context), rlm_query('Fits it?', 'b'))\nSUBMIT([x, y, z])",
        child=["w = llm_query('four')\nprint(rlm_query('grandchild', context * 2))", "SUBMIT(w)"],
        grandchild=["print('on and on')"],
    )(body)


def failing(body: dict[str, Any]) -> Reply:
    """A sub-LM that cannot answer `fail`."""
    return Reply(status=400) if said(body)[-1] == "fail" else echo(body)


async def test_a_run_goes_on_from_any_moment_and_pays_for_nothing_twice(bench: Bench) -> None:
    bench.root.script, bench.sub.script = rich, failing
    settings: dict[str, Any] = {"mode": "auto", "context": CONTEXT * 1000, "max_iterations": 4}
    whole = await bench.ask(**settings)
    events = bench.trajectory
    assert whole.text == '["ONE", ["TWO", "THREE"], "the sub_lm backend: scripted failure"]'
    assert Counter(type(event).__name__ for event in events) == {
        "SessionOpened": 3, "CodeWritten": 4 + 2 + 4, "ModelCalled": 7, "CodeRan": 4 + 2 + 4, "Concluded": 1,
    }  # fmt: skip
    for k in range(len(events) + 1):
        before = len(bench.root.calls), len(bench.sub.calls)
        done = await bench.ask(recorded=events[:k], **settings)
        of_root, of_sub = len(bench.root.calls) - before[0], len(bench.sub.calls) - before[1]
        assert of_root == sum(map(asked_root, events[k:])), f"after {k} events"
        assert of_sub == sum(map(asked_sub, events[k:])), f"after {k} events"
        assert (done.outcome, done.text, done.usage) == (whole.outcome, whole.text, whole.usage), f"after {k} events"
        assert told(events[:k] + bench.trajectory) == told(events), f"after {k} events"


async def test_children_side_by_side_go_on_from_any_moment(bench: Bench) -> None:
    codes = writes(THREADS, child=["x = llm_query_batched([f'{context} {n}' for n in range(2)])", "SUBMIT(x)"])
    dice = random.Random(9)
    bench.root.script = lambda body: replace(codes(body), first_delay=dice.uniform(0, 0.02))
    bench.sub.script = lambda body: replace(echo(body), first_delay=dice.uniform(0, 0.02))
    whole = await bench.ask()
    events = bench.trajectory
    assert whole.text == json.dumps([json.dumps([f"{n} 0", f"{n} 1"]) for n in range(4)])
    for k in sorted(dice.sample(range(len(events)), 8)):
        before = len(bench.root.calls), len(bench.sub.calls)
        done = await bench.ask(recorded=events[:k])
        assert len(bench.root.calls) - before[0] == sum(map(asked_root, events[k:])), f"after {k} events"
        assert len(bench.sub.calls) - before[1] == sum(map(asked_sub, events[k:])), f"after {k} events"
        assert (done.outcome, done.text, done.usage) == (whole.outcome, whole.text, whole.usage), f"after {k} events"


@pytest.mark.parametrize(
    "limits", [BudgetSettings(iterations=4), BudgetSettings(model_calls=6), BudgetSettings(tokens=350)]
)
async def test_a_run_whose_budget_ended_ends_so_again(bench: Bench, limits: BudgetSettings) -> None:
    bench.root.script = writes("try: print(llm_query('?'))\nexcept RuntimeError as error: print(error)")
    whole = await bench.ask(budget=limits)
    events = bench.trajectory
    assert isinstance(events[-1], Concluded)
    for k in range(len(events) + 1):
        before = len(bench.root.calls), len(bench.sub.calls)
        done = await bench.ask(budget=limits, recorded=events[:k])
        assert (done.text, done.reason, done.usage) == (BEST, whole.reason, whole.usage), f"after {k} events"
        assert len(bench.root.calls) - before[0] == sum(map(asked_root, events[k:])), f"after {k} events"
        assert told(events[:k] + bench.trajectory) == told(events), f"after {k} events"


async def test_a_call_that_has_failed_has_failed_for_a_run_that_goes_on_too(bench: Bench) -> None:
    bench.root.script, bench.sub.script = rich, failing
    settings: dict[str, Any] = {"mode": "auto", "context": CONTEXT * 1000, "max_iterations": 4}
    whole = await bench.ask(**settings)
    events = bench.trajectory
    bench.sub.script = echo
    for k, event in enumerate(events, start=1):
        if isinstance(event, ModelCalled) and event.error:
            assert (await bench.ask(recorded=events[:k], **settings)).text == whole.text
            assert (await bench.ask(recorded=events[: k + 1], **settings)).text == whole.text


async def test_a_run_that_goes_on_compacts_where_the_first_attempt_did(bench: Bench) -> None:
    turns = [f"print('{n} ' + 'x' * 2500)" for n in range(15)]
    bench.root.script = by_call(*turns, "SUBMIT('done')")
    await bench.ask()
    events, prompts = bench.trajectory, [call.body for call in bench.root.calls]
    for k in (9, 18, 27):
        bench.root.script = by_call(*turns[k // 2 :], "SUBMIT('done')")
        bench.root.requests = []
        await bench.ask(recorded=events[:k])
        assert [call.body["messages"] for call in bench.root.calls] == [body["messages"] for body in prompts[k // 2 :]]


def asked_root(event: Trajectory) -> bool:
    return isinstance(event, CodeWritten | Concluded) or (isinstance(event, ModelCalled) and event.turn == 0)


def asked_sub(event: Trajectory) -> bool:
    return isinstance(event, ModelCalled) and event.turn > 0


def told(events: Iterable[Trajectory]) -> Counter[str]:
    """What is recorded, without times, and in no order: calls that are made at once may end in any."""
    return Counter(repr(replace(event, at=0.0, seconds=0.0)) for event in events)
