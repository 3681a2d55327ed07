"""How a Signature, its demos and a conversation become a request, and a reply becomes fields."""

from typing import Any

import dspy
import pytest
from dspy.lm15 import Message, Request, Response, TextPart, ThinkingPart
from dspy.lm15 import Usage as EngineUsage

from programs.adapter import NativeAdapter
from programs.backends.chat import chat_body
from programs.splitter import join
from programs.transcript import ToolIntent, Usage
from signatures import Conclude, Explore, Generate


class Silent:
    """An engine that is never asked."""

    def complete(self, request: Request) -> Response:
        raise AssertionError(request)


LM = dspy.LM("some-model", engine=Silent(), cache=False)
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "You are a pirate."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Ahoy!"},
    {"role": "developer", "content": "Now whisper."},
    {"role": "user", "content": "Again"},
]


def request(messages: list[dict[str, Any]], demos: list[dict[str, Any]] | None = None, **config: Any) -> Request:
    return NativeAdapter().request(LM, config, Generate, demos or [], {"messages": messages})


def chat(asked: Request) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = chat_body(asked, {})["messages"]
    return messages


def test_conversation_keeps_its_native_roles() -> None:
    assert chat(request(CONVERSATION)) == [
        {"role": "system", "content": f"{Generate.instructions}\n\nYou are a pirate."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Ahoy!"},
        {"role": "system", "content": "Now whisper."},
        {"role": "user", "content": "Again"},
    ]


def test_prompt_of_a_turn_is_the_beginning_of_the_next_turns() -> None:
    later = [*CONVERSATION, {"role": "assistant", "content": "(aye)"}, {"role": "user", "content": "Louder"}]
    before = chat(request(CONVERSATION))
    assert chat(request(later))[: len(before)] == before


def test_tool_calls_and_results_are_native_messages() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path": "ä.py"}'}}
    asked = request(
        [
            {"role": "user", "content": "Read it."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
        ]
    )
    assert chat(asked)[2:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
    ]


def test_demos_are_native_turns_before_the_conversation() -> None:
    intent = ToolIntent(text="list the files")
    demos: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "What is here?"}], "text": "Let me see.", "tool_intents": [intent]},
        # As it comes back from a saved program.
        {"messages": [{"role": "user", "content": "And?"}], "text": "", "tool_intents": [intent.model_dump()]},
    ]
    turns = chat(request(CONVERSATION[:2], demos))
    assert [turn["content"] for turn in turns[1:]] == [
        "What is here?",
        join("Let me see.", [intent]),
        "And?",
        join("", [intent]),
        "Hello",
    ]


def test_conversation_of_nothing_but_a_system_message_can_be_asked() -> None:
    assert chat(request(CONVERSATION[:1]))[-1] == {"role": "user", "content": ""}


def test_sampling_reaches_the_backend_in_chat_completions_words() -> None:
    schema = {"name": "person", "schema": {"type": "object"}, "strict": None}
    asked = request(
        CONVERSATION,
        max_tokens=7,
        temperature=0.5,
        stop=("END",),
        seed=3,
        response_format={"type": "json_schema", "json_schema": schema},
        min_p=0.1,
    )
    body = chat_body(asked, {"temperature": 1.0, "top_k": 40})
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": {"type": "object"}},
    }
    said = {key: body[key] for key in ("max_tokens", "temperature", "stop", "seed", "min_p", "top_k")}
    assert said == {"max_tokens": 7, "temperature": 0.5, "stop": ["END"], "seed": 3, "min_p": 0.1, "top_k": 40}


def test_parameters_of_the_lm_hold_where_a_call_says_nothing() -> None:
    lm = LM.copy(temperature=0.9, rollout_id=4)
    asked = NativeAdapter().request(lm, {"max_tokens": 5}, Generate, [], {"messages": CONVERSATION})
    assert (asked.config.temperature, asked.config.max_tokens) == (0.9, 5)


def test_reply_is_read_into_fields() -> None:
    parts = (ThinkingPart(text="hm"), TextPart(text="<think>more</think>Sure.\nTOOL_INTENT: look around"))
    usage = EngineUsage(input_tokens=5, output_tokens=3, cache_read_tokens=2)
    reply = Response(
        id=None, model="m", message=Message(role="assistant", parts=parts), finish_reason="stop", usage=usage
    )
    assert NativeAdapter().read(Generate, reply) == {
        "text": "Sure.",
        "tool_intents": [ToolIntent(text="look around")],
        "written": "<think>more</think>Sure.\nTOOL_INTENT: look around",
        "finish_reason": "stop",
        "usage": Usage(prompt=5, completion=3, cached=2),
        "model": "m",
        "logprobs": None,
    }


@pytest.mark.parametrize("usage", [EngineUsage(), EngineUsage(input_tokens=5)])
def test_usage_that_was_not_reported_is_none(usage: EngineUsage) -> None:
    message = Message.assistant("hi")
    reply = Response(id=None, model="m", message=message, finish_reason="stop", usage=usage)
    assert NativeAdapter().read(Generate, reply)["usage"] is None


# --- the turns of an exploration


def explored(
    turns: list[dict[str, Any]], demos: list[dict[str, Any]] | None = None, **last: Any
) -> list[dict[str, Any]]:
    """The messages of a call of `Explore` after `turns`."""
    inputs = {
        "messages": CONVERSATION,
        "context": "`context` is a str.",
        "history": dspy.History(messages=turns),
        "budget": "3 turns left.",
        **last,
    }
    return chat(NativeAdapter().request(LM, {}, Explore, demos or [], inputs))


TURNS: list[dict[str, Any]] = [
    {"budget": "5 turns left.", "reasoning": "I look.", "code": "print(1)"},
    {"observation": "1", "budget": "4 turns left.", "reasoning": "", "code": "print(2)"},
]


def test_turns_of_a_history_are_native_turns() -> None:
    assert explored(TURNS, observation="2")[-5:] == [
        {"role": "user", "content": "Again\n\n`context` is a str.\n\n5 turns left."},
        {"role": "assistant", "content": "I look.\n```python\nprint(1)\n```"},
        {"role": "user", "content": "1\n\n4 turns left."},
        {"role": "assistant", "content": "```python\nprint(2)\n```"},
        {"role": "user", "content": "2\n\n3 turns left."},
    ]


def test_texts_of_the_user_are_paragraphs_of_one_message() -> None:
    assert explored([])[-1] == {"role": "user", "content": "Again\n\n`context` is a str.\n\n3 turns left."}
    said = explored([], messages=[{"role": "assistant", "content": "Ahoy!"}])
    assert said[-1] == {"role": "user", "content": "`context` is a str.\n\n3 turns left."}


def test_two_messages_of_the_user_stay_two() -> None:
    said = [{"role": "user", "content": "One"}, {"role": "user", "content": "Two"}]
    assert chat(request(said))[1:] == said
    assert [turn["content"] for turn in explored([], messages=said)[1:]] == [
        "One",
        "Two\n\n`context` is a str.\n\n3 turns left.",
    ]


def test_what_is_empty_is_not_said() -> None:
    assert explored([], observation="", context="")[-1]["content"] == "Again\n\n3 turns left."


def test_a_turn_without_code_is_its_words() -> None:
    turn = {"budget": "5 turns left.", "reasoning": "I do not know.", "code": ""}
    assert explored([turn], observation="There is no code.")[-2] == {"role": "assistant", "content": "I do not know."}


def test_what_a_caller_gives_is_not_changed() -> None:
    said = [{"role": "user", "content": "One"}]
    turns = [dict(turn) for turn in TURNS]
    explored(turns, messages=said, observation="2")
    assert said == [{"role": "user", "content": "One"}]
    assert turns == TURNS


def test_the_prompt_of_each_turn_of_an_exploration_is_the_beginning_of_the_next() -> None:
    demos = [{"messages": [{"role": "user", "content": "Hi"}], "budget": "1 turn left.", "reasoning": "", "code": "x"}]
    turns: list[dict[str, Any]] = []
    before: list[dict[str, Any]] = []
    observation = ""
    for n in range(6):
        shown = {"observation": observation} if observation else {}
        asked = explored(turns, demos, budget=f"{9 - n} turns left.", **shown)
        assert asked[: len(before)] == before
        assert len(asked) == len(before) + (2 if before else len(CONVERSATION) + 2)
        turns.append({**shown, "budget": f"{9 - n} turns left.", "reasoning": f"é{n}", "code": f"print({n})"})
        observation = f"{n}\n😀" if n % 2 else ""
        before = asked


def test_a_demo_is_its_own_history_and_then_its_reply() -> None:
    demo: dict[str, Any] = {
        "messages": [{"role": "user", "content": "What is the code?"}],
        "context": "`context` is short.",
        "history": dspy.History(messages=TURNS),
        "observation": "2",
        "budget": "1 turn left.",
        "reasoning": "Found.",
        "code": "SUBMIT(2)",
    }
    saved = {**demo, "history": {"messages": TURNS}}  # as it comes back from a saved program
    for form in (demo, saved):
        said = explored([], [form])
        assert [turn["role"] for turn in said] == ["system", *["user", "assistant"] * 4, "system", "user"]
        assert [turn["content"] for turn in said[1:7]] == [
            "What is the code?\n\n`context` is short.\n\n5 turns left.",
            "I look.\n```python\nprint(1)\n```",
            "1\n\n4 turns left.",
            "```python\nprint(2)\n```",
            "2\n\n1 turn left.",
            "Found.\n```python\nSUBMIT(2)\n```",
        ]


def test_system_words_of_a_demo_stay_where_they_are() -> None:
    demo = {"messages": [{"role": "system", "content": "Be a poet."}], "budget": "1 turn left.", "code": "SUBMIT(1)"}
    said = explored([], [demo])
    assert said[0] == {"role": "system", "content": f"{Explore.instructions}\n\nYou are a pirate."}
    assert [turn["role"] for turn in said[1:4]] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("reply", "fields"),
    [
        (
            "<think>hm\n```python\nx\n```</think>I look.\n```py\nprint(1)\n```",
            {"reasoning": "I look.", "code": "print(1)"},
        ),
        ("I do not know.", {"reasoning": "I do not know.", "code": ""}),
        ("", {"reasoning": "", "code": ""}),
    ],
)
def test_code_is_read_from_a_reply_without_its_thinking(reply: str, fields: dict[str, Any]) -> None:
    said = Response(id=None, model="m", message=Message.assistant(reply), finish_reason="length", usage=EngineUsage())
    read = NativeAdapter().read(Explore, said)
    told = {"finish_reason": "length", "usage": None, "model": "m", "logprobs": None}
    assert read == {**fields, "written": reply, **told}


def test_a_conclusion_is_asked_for_and_read_as_plain_text() -> None:
    asked = {"messages": CONVERSATION, "findings": "What was found:\n\n1"}
    said = chat(NativeAdapter().request(LM, {}, Conclude, [], asked))
    assert said[-1] == {"role": "user", "content": "Again\n\nWhat was found:\n\n1"}
    reply = Message.assistant("<think>hm</think>\n\nIt is 1.\n```python\nx\n```\n")
    read = Response(id=None, model="m", message=reply, finish_reason="stop", usage=EngineUsage())
    assert NativeAdapter().read(Conclude, read)["answer"] == "It is 1.\n```python\nx\n```"
