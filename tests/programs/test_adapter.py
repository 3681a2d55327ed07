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
from signatures import Generate


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
        "finish_reason": "stop",
        "usage": Usage(prompt=5, completion=3, cached=2),
    }


@pytest.mark.parametrize("usage", [EngineUsage(), EngineUsage(input_tokens=5)])
def test_usage_that_was_not_reported_is_none(usage: EngineUsage) -> None:
    message = Message.assistant("hi")
    reply = Response(id=None, model="m", message=message, finish_reason="stop", usage=usage)
    assert NativeAdapter().read(Generate, reply)["usage"] is None
