"""The real embedded model: it answers, fits schemas, shares its slots, remembers prompts, lets itself be stopped."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dspy.lm15 import Config, Request
from dspy.lm15 import Message as Asked

from programs import RANTS, Backends, Message, Sampling, Session, Transcript
from programs.backends import run_sync
from programs.backends.gguf import context_length
from programs.errors import BackendRejected, ConfigurationError, ContextTooLong
from programs.events import Event, RunDone, StepDone, TextDelta
from programs.settings import LoopSettings, ModelSettings, ModelsSettings

SHORT = Sampling(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def backends() -> Iterator[Backends]:
    bound = Backends()
    run_sync(bound.warm())
    yield bound
    run_sync(bound.aclose())


def ask(*contents: str) -> Session:
    """A session in which the user and the assistant have spoken in turns."""
    roles = ("user", "assistant")
    said = [Message(role=roles[index % 2], content=content) for index, content in enumerate(contents)]
    return Session(id="test", transcript=Transcript(messages=tuple(said)))


async def events_of(rants: RANTS, session: Session, sampling: Sampling = SHORT) -> list[Event]:
    return [event async for event in rants.run(session, sampling)]


async def test_streams_text_then_the_step_then_the_end(backends: Backends) -> None:
    *deltas, step, done = await events_of(RANTS(backends), ask("What is the capital of France?"))
    assert len(deltas) > 1
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert isinstance(step, StepDone)
    assert isinstance(done, RunDone)
    assert (step.text, done.text) == (text, text)
    assert done.usage.prompt > 10
    assert done.usage.completion == step.usage.completion > 1


async def test_reply_cut_by_max_tokens_is_incomplete(backends: Backends) -> None:
    events = await events_of(RANTS(backends), ask("Tell me a long story."), Sampling(max_tokens=3))
    done = events[-1]
    assert isinstance(done, RunDone)
    assert (done.outcome, done.reason, done.usage.completion) == ("incomplete", "max_output_tokens", 3)


async def test_stop_ends_the_reply(backends: Backends) -> None:
    sampling = Sampling(temperature=0, max_tokens=12, stop=(" ",))
    done = (await events_of(RANTS(backends), ask("What is the capital of France?"), sampling))[-1]
    assert isinstance(done, RunDone)
    assert " " not in done.text
    assert done.outcome == "completed"


def json_schema(schema: dict[str, Any]) -> Sampling:
    described = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    return Sampling(temperature=0, max_tokens=200, response_format=described)


async def test_reply_fits_the_schema_that_was_asked_for(backends: Backends) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 12}, "size": {"enum": ["small", "large"]}},
        "required": ["city", "size"],
        "additionalProperties": False,
    }
    answer = await RANTS(backends).acall(question="Describe Paris.", sampling=json_schema(schema))
    said = json.loads(answer.text)
    assert set(said) == {"city", "size"}
    assert said["size"] in ("small", "large")


async def test_the_likeliest_first_tokens_are_told_to_who_asks(backends: Backends) -> None:
    asked = (Asked.user("The capital of France, in one word:"),)
    lm = backends.lm("generator")
    config = Config(max_tokens=1, temperature=0.0, logprobs=5)
    reply = await lm.acall(Request(model=lm.model, messages=asked, config=config))
    assert reply.logprobs is not None
    (first,) = reply.logprobs
    assert first.token == reply.text
    assert len(first.top) == 5
    assert [other.logprob for other in first.top] == sorted((other.logprob for other in first.top), reverse=True)
    assert first.logprob == pytest.approx(first.top[0].logprob)
    quiet = await lm.acall(Request(model=lm.model, messages=asked, config=Config(max_tokens=1)))
    assert quiet.logprobs is None


async def test_schema_that_cannot_be_compiled_is_the_callers_mistake(backends: Backends) -> None:
    with pytest.raises(BackendRejected, match="nonsense"):
        await RANTS(backends).acall(question="Hi", sampling=json_schema({"type": "nonsense"}))


async def test_conversation_beyond_the_window_is_refused(backends: Backends) -> None:
    direct = RANTS(backends, LoopSettings(mode="direct"))
    # By its bytes it looks short enough; the model's own count is what finds it too long.
    with pytest.raises(ContextTooLong):
        await direct.acall(question="a b c d e " * 2000)
    with pytest.raises(ContextTooLong, match="window"):
        await direct.acall(question="word " * 8000)


async def test_two_conversations_are_answered_at_once(backends: Backends) -> None:
    order: list[str] = []

    async def follow(name: str) -> None:
        async for event in RANTS(backends).run(ask(f"Count slowly, {name}."), Sampling(max_tokens=40)):
            if isinstance(event, TextDelta):
                order.append(name)

    await asyncio.gather(follow("Ann"), follow("Bob"))
    first_of_each = {order.index("Ann"), order.index("Bob")}
    last_of_each = {len(order) - 1 - order[::-1].index(name) for name in ("Ann", "Bob")}
    assert max(first_of_each) < min(last_of_each)


async def test_next_turn_reads_only_what_is_new(backends: Backends) -> None:
    rants = RANTS(backends)
    opening = "You will plan a garden with me. " + "It has roses, beans and an old pear tree. " * 8
    first = (await events_of(rants, ask(opening)))[-1]
    assert isinstance(first, RunDone)
    second = (await events_of(rants, ask(opening, first.text, "And now?")))[-1]
    assert isinstance(second, RunDone)
    assert second.usage.cached >= 0.95 * first.usage.prompt


async def test_closing_a_run_frees_its_slot(backends: Backends) -> None:
    rants = RANTS(backends)
    for _ in range(4):  # twice as many as there are slots
        run = rants.run(ask("Write a very long story. " * 30), Sampling(max_tokens=2000))
        waiting = asyncio.ensure_future(anext(run))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await run.aclose()
    async with asyncio.timeout(60):
        assert (await events_of(rants, ask("Say hi.")))[-1]


async def test_module_can_be_called_where_an_event_loop_runs(backends: Backends) -> None:
    answer = RANTS(backends)(question="Say hi.", sampling=SHORT)
    assert answer.text


LISTENS_TO = """
import asyncio
from pathlib import Path
from programs import Backends

def listening():
    ours = {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return ours & {f"socket:[{fields[9]}]" for fields in lines if fields[3] == "0A"}

async def load():
    backends = Backends()
    await backends.warm()
    print("listens to", sorted(listening()))
    await backends.aclose()

asyncio.run(load())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opens_no_port() -> None:
    done = subprocess.run([sys.executable, "-c", LISTENS_TO], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "listens to []"


def test_window_is_what_the_weights_were_trained_on(backends: Backends) -> None:
    assert backends.window("generator") == 8192
    assert backends.window("tool_compiler") == 8192


def test_what_it_can_do_need_not_be_configured() -> None:
    alone = ModelSettings.model_validate({"model": "some.gguf"})
    assert alone.capabilities == ModelSettings().capabilities == {"json_schema", "logprobs"}
    assert ModelSettings.model_validate({"capabilities": []}).capabilities == set()
    served = ModelSettings.model_validate({"base_url": "http://127.0.0.1:1/v1"})
    assert served.capabilities == {"json_schema"}


def test_equal_entries_share_one_engine() -> None:
    entry = ModelSettings.model_validate({})
    backends = Backends(ModelsSettings(generator=entry, tool_compiler=entry))
    assert backends.lm("tool_compiler") is backends.lm("generator")
    assert backends.lm("vision") is backends.lm("generator")


def test_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    impostor = tmp_path / "model.gguf"
    impostor.write_bytes(b"<html>not here</html>")
    with pytest.raises(ConfigurationError, match="not a GGUF file"):
        context_length(impostor)
    impostor.write_bytes(b"GGUF\x03\x00")
    with pytest.raises(ConfigurationError, match="cut off"):
        context_length(impostor)
