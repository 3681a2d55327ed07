"""The loop as a module: its events, its errors, and what DSPy does with it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest
from dspy.lm15 import Message as LMMessage
from dspy.lm15 import Request, StreamDeltaEvent

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from programs import RANTS, Backends, Message, Sampling, Session, Transcript, Usage
from programs.adapter import NativeAdapter
from programs.backends import run_sync
from programs.backends.engine import Engine
from programs.backends.openai import OpenAIEngine
from programs.errors import (
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    BadReply,
    ContextTooLong,
    InvalidRequest,
)
from programs.events import ModelAnswered, RunDone, StepDone, TextDelta
from programs.settings import LoopSettings, ModelSettings, ModelsSettings, ResilienceSettings
from programs.transcript import ToolIntent
from tests.support import eventually


@pytest.fixture
def model() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(in_turn(Reply(["Hel", "lo."], usage=usage(9, 2, 4)))) as backend:
        yield backend


@pytest.fixture
def backends(model: ScriptedBackend) -> Iterator[Backends]:
    entry = ModelSettings(provider="openai", base_url=model.base_url, model="scripted", context_window=1000)
    patience = ResilienceSettings(max_retries=1, backoff_seconds=0.01, read_timeout_seconds=1)
    bound = Backends(ModelsSettings(generator=entry), patience)
    yield bound
    run_sync(bound.aclose())


@pytest.fixture
def rants(backends: Backends) -> RANTS:
    return RANTS(backends)


HELLO = Session(id="test", transcript=Transcript(messages=(Message(role="user", content="Hello?"),)))


async def test_events_tell_the_text_the_step_and_the_end(rants: RANTS, backends: Backends) -> None:
    events = [event async for event in rants.run(HELLO)]
    spent = Usage(prompt=9, completion=2, cached=4)
    *texts, answered, step, done = events
    assert texts == [TextDelta("Hel"), TextDelta("lo.")]
    assert isinstance(answered, ModelAnswered)
    assert (answered.role, answered.model, answered.outcome, answered.usage) == ("generator", "scripted", "ok", spent)
    assert isinstance(step, StepDone)
    assert (step.session, step.step, step.text, step.calls, step.usage) == ("test", 1, "Hello.", (), spent)
    assert isinstance(done, RunDone)
    assert (done.outcome, done.text, done.usage) == ("completed", "Hello.", spent)
    await backends.aclose()


async def test_intents_and_thinking_are_held_back_from_the_text(
    rants: RANTS, backends: Backends, model: ScriptedBackend
) -> None:
    model.script = in_turn(Reply(["<thi", "nk>hm</think>Loo", "king.\nTOOL_", "INTENT: list it"], reasoning=["secret"]))
    said = await rants.acall(question="What is here?")
    assert (said.text, said.tool_intents) == ("Looking.", [ToolIntent(text="list it")])
    await backends.aclose()


async def test_usage_is_estimated_where_none_is_reported(
    rants: RANTS, backends: Backends, model: ScriptedBackend
) -> None:
    model.script = in_turn(Reply(["four", "more"]))
    said = await rants.acall(question="12345678")
    assert said.usage == Usage(prompt=2, completion=2, estimated=True)
    await backends.aclose()


@pytest.mark.parametrize(
    ("reply", "error", "asked"),
    [
        (Reply(status=500), BackendUnavailable, 2),
        (Reply(status=429, headers={"Retry-After": "0"}), BackendUnavailable, 2),
        (Reply(status=429, headers={"Retry-After": "3600"}), BackendUnavailable, 1),
        (Reply(status=401), BackendRejected, 1),
        (Reply(status=404), BackendRejected, 1),
        (Reply(status=400, error={"message": "no such knob"}), BackendRejected, 1),
        (Reply(status=400, error={"message": "long", "code": "context_length_exceeded"}), ContextTooLong, 1),
        (Reply(["Hal"], fault="cut"), BadReply, 1),
        (Reply(["Hal"], fault="malformed"), BadReply, 1),
        (Reply(["Hal"], fault="error"), BackendUnavailable, 1),
        (Reply(fault="hang"), BackendTimeout, 1),
    ],
)
def test_what_goes_wrong_has_its_own_error(
    rants: RANTS, model: ScriptedBackend, reply: Reply, error: type[Exception], asked: int
) -> None:
    model.script = in_turn(reply)
    with pytest.raises(error):
        RANTS(rants.backends, LoopSettings(mode="direct"))(question="Hello?")
    assert len(model.calls) == asked


def test_failure_that_passes_is_tried_again(rants: RANTS, model: ScriptedBackend) -> None:
    model.script = in_turn(Reply(status=503), Reply(["At last."]))
    assert rants(question="Hello?").text == "At last."


def test_conversation_beyond_the_window_is_not_sent(rants: RANTS, model: ScriptedBackend) -> None:
    with pytest.raises(ContextTooLong, match="1000"):
        RANTS(rants.backends, LoopSettings(mode="direct"))(question="word " * 1000)
    assert not model.calls


async def test_closing_the_run_hangs_up_on_the_backend(
    rants: RANTS, backends: Backends, model: ScriptedBackend
) -> None:
    model.script = in_turn(Reply(["one", "two"], delay=30))
    run = rants.run(HELLO)
    waiting = asyncio.ensure_future(anext(run))
    await asyncio.to_thread(eventually, lambda: model.calls)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.to_thread(eventually, lambda: model.calls[0].hung_up)
    await backends.aclose()


def test_first_listed_model_is_asked_where_none_is_named(model: ScriptedBackend) -> None:
    model.models = ("first", "second")
    backends = Backends(ModelsSettings(generator=ModelSettings.model_validate({"base_url": model.base_url})))
    assert RANTS(backends)(question="Hello?").text == "Hello."
    assert model.calls[0].body["model"] == "first"
    run_sync(backends.aclose())


def test_format_is_asked_of_a_generator_that_can_keep_it(model: ScriptedBackend) -> None:
    entry = ModelSettings(provider="openai", base_url=model.base_url, model="scripted", capabilities=frozenset())
    backends = Backends(ModelsSettings(generator=entry))
    with pytest.raises(InvalidRequest, match="capabilities"):
        RANTS(backends)(question="Hello?", sampling=Sampling(response_format={"type": "json_object"}))
    assert not model.calls


def test_question_or_messages_must_be_given(rants: RANTS) -> None:
    with pytest.raises(InvalidRequest, match="question"):
        rants()


def test_context_is_told_before_the_question(rants: RANTS, model: ScriptedBackend) -> None:
    rants(question="What is the code?", context="It is 4711.")
    assert model.calls[0].body["messages"][-1]["content"] == "It is 4711.\n\nWhat is the code?"


def test_messages_in_chat_form_can_be_continued(rants: RANTS, model: ScriptedBackend) -> None:
    said = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}]
    rants(messages=said)
    assert model.calls[0].body["messages"][1:] == said


def test_saved_program_keeps_its_instructions_and_demos(rants: RANTS, backends: Backends, tmp_path: Path) -> None:
    rants.direct.generate.signature = rants.direct.generate.signature.with_instructions("Answer in rhyme.")
    rants.direct.generate.demos = [
        dspy.Example(
            messages=[{"role": "user", "content": "Hi"}], text="Hi and bye.", tool_intents=[ToolIntent(text="wave")]
        )
    ]
    path = tmp_path / "program.json"
    rants.save(path)
    again = RANTS(backends)
    again.load(path)
    assert again.direct.generate.signature.instructions == "Answer in rhyme."
    again(question="Hello?")


def test_loaded_program_asks_as_the_saved_one_did(
    rants: RANTS, backends: Backends, model: ScriptedBackend, tmp_path: Path
) -> None:
    rants.direct.generate.demos = [dspy.Example(messages=[{"role": "user", "content": "Hi"}], text="Bye.")]
    rants.save(tmp_path / "program.json")
    again = RANTS(backends)
    again.load(tmp_path / "program.json")
    for program in (rants, again):
        program(question="Hello?")
    assert model.calls[0].body == model.calls[1].body
    assert model.calls[0].body["messages"][2] == {"role": "assistant", "content": "Bye."}


def test_optimiser_finds_demos_for_it(rants: RANTS, model: ScriptedBackend) -> None:
    examples = [dspy.Example(question=f"Hello {n}?").with_inputs("question") for n in range(3)]
    optimiser = dspy.BootstrapFewShot(
        metric=lambda example, said, trace=None: said.text == "Hello.", max_bootstrapped_demos=2, max_labeled_demos=0
    )
    better = optimiser.compile(rants, trainset=examples)
    assert [demo["text"] for demo in better.direct.generate.demos] == ["Hello.", "Hello."]
    better(question="And now?")
    assert [message["role"] for message in model.calls[-1].body["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "user",
    ]  # fmt: skip


def test_any_lm_of_dspy_can_generate(rants: RANTS) -> None:
    lm = dspy.utils.DummyLM([{"text": "plain words"}])
    with dspy.context(lm=lm):
        said = RANTS()(question="Hello?")
    assert "plain words" in said.text


def test_predictors_own_lm_comes_first(rants: RANTS, model: ScriptedBackend) -> None:
    with ScriptedBackend(in_turn(Reply(["From the other."]))) as other:
        entry = ModelSettings(provider="openai", base_url=other.base_url, model="other")
        backends = Backends(ModelsSettings(generator=entry))
        rants.set_lm(backends.lm("generator"))
        assert rants(question="Hello?").text == "From the other."
        run_sync(backends.aclose())
    assert not model.calls


def test_sampling_reaches_the_backend(rants: RANTS, model: ScriptedBackend) -> None:
    rants(question="Hello?", sampling=Sampling(max_tokens=5, temperature=0.0, stop=("END",)))
    body = model.calls[0].body
    assert (body["max_tokens"], body["temperature"], body["stop"]) == (5, 0.0, ["END"])


def test_lms_made_elsewhere_can_play_the_roles(backends: Backends) -> None:
    other = Backends.of(generator=backends.lm("generator"))
    assert other.lm("sub_lm") is other.lm("generator")
    assert RANTS(other)(question="Hello?").text == "Hello."


async def test_dspy_can_stream_it_too(backends: Backends) -> None:
    stream = dspy.streamify(RANTS(backends).direct.generate, is_async_program=True)
    pieces = []
    with dspy.context(lm=backends.lm("generator"), adapter=NativeAdapter()):
        async for chunk in stream(messages=[{"role": "user", "content": "Hello?"}]):
            if isinstance(chunk, dspy.Prediction):
                said = chunk.text
            elif text := chunk.choices[0].delta.content:
                pieces.append(text)
    assert (pieces, said) == (["Hel", "lo."], "Hello.")
    await backends.aclose()


def test_engine_streams_for_code_that_is_not_async(model: ScriptedBackend) -> None:
    entry = ModelSettings(provider="openai", base_url=model.base_url, model="scripted")
    engine = OpenAIEngine("generator", entry, ResilienceSettings())
    request = Request(model="scripted", messages=(LMMessage.user("Hello?"),))
    texts = [event.delta.text for event in Engine(engine).stream(request) if isinstance(event, StreamDeltaEvent)]
    assert texts == ["Hel", "lo."]
    run_sync(engine.aclose())


class Onlooker(dspy.utils.callback.BaseCallback):  # type: ignore[misc]
    """Counts the calls of models that it is told of."""

    def __init__(self) -> None:
        self.started = 0

    def on_lm_start(self, call_id: str, instance: object, inputs: dict[str, object]) -> None:
        self.started += 1


async def test_who_looks_on_in_dspy_sees_each_call(rants: RANTS, backends: Backends, model: ScriptedBackend) -> None:
    onlooker = Onlooker()
    with dspy.context(callbacks=[onlooker]):
        assert (await rants.acall(question="Hello?")).text == "Hello."
    assert onlooker.started == 1
    with dspy.track_usage() as tracker:
        await rants.acall(question="Hello?")
    assert tracker.get_total_tokens()["scripted"]["prompt_tokens"] == 9
    await backends.aclose()


async def test_a_run_leaves_no_prompt_in_dspys_history(rants: RANTS, backends: Backends) -> None:
    await rants.acall(question="Hello?")
    assert backends.lm("generator").history == []
    with dspy.context(adapter=NativeAdapter()):
        await rants.direct.generate.acall(messages=[{"role": "user", "content": "Hello?"}], lm=backends.lm("generator"))
    assert len(backends.lm("generator").history) == 1, "outside of a run it is dspy's to say"
    await backends.aclose()
