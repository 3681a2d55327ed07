"""What a generator is told of its own past: its words, byte for byte; never a call."""

from __future__ import annotations

from itertools import pairwise

from programs import Message
from programs.retelling import retold, words_of
from programs.splitter import split
from programs.transcript import ToolCall, ToolIntent

CALL = ToolCall(id="c1", name="look", arguments='{"path": "a"}')
INTENT = ToolIntent(text="look at a", blocks={"A": "x\r\n\ty"})


def user(text: str) -> Message:
    return Message(role="user", content=text)


def result(text: str, call: str | None = "c1") -> Message:
    return Message(role="tool", content=text, tool_call_id=call)


def made(text: str = "I look.", *intents: ToolIntent) -> Message:
    return Message(role="assistant", content=text, intents=intents, tool_calls=(CALL,))


def test_intents_are_told_as_they_were_written() -> None:
    (told,) = retold([made("I look.", INTENT)])
    assert told == {"role": "assistant", "content": "I look.\nTOOL_INTENT: look at a\n<<<A\nx\r\n\ty\n>>>A"}
    assert split(told["content"]) == ("I look.", (INTENT,))


def test_a_call_that_nobody_knows_is_spelled_out_as_an_intent() -> None:
    assert words_of(made("")) == 'TOOL_INTENT: call look with {"path": "a"}'


def test_results_are_turns_of_the_user_s_that_name_their_tool() -> None:
    told = retold([user("Look."), made(), result("found"), result("lost", "c9"), result("No tool does this.", None)])
    assert [turn["role"] for turn in told] == ["user", "assistant", "user"]
    assert told[-1]["content"] == ("TOOL_RESULT look:\nfound\n\nTOOL_RESULT:\nlost\n\nTOOL_RESULT:\nNo tool does this.")


def test_what_the_user_says_after_a_result_is_in_the_same_turn() -> None:
    told = retold([user("Look."), made(), result("found"), user("And?"), user("So?")])
    assert [turn["content"] for turn in told[2:]] == ["TOOL_RESULT look:\nfound\n\nAnd?", "So?"]


def test_each_turn_s_prompt_is_the_beginning_of_the_next() -> None:
    said = [
        user("Look."),
        made("I look.", INTENT),
        result("found"),
        made("More.", INTENT),
        result("all"),
        made("", INTENT),
    ]
    ends = [index + 1 for index, message in enumerate(said) if message.role != "assistant"]
    prompts = [retold(said[:end]) for end in ends]
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before
