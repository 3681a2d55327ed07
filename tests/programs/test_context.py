"""What the root LM is shown of a conversation, and what lies in the environment: between them, nothing is lost."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest

from programs import Message, Session, Transcript
from programs.context import describe, size_of, texts_of, view
from programs.transcript import Context, Role, ToolCall, estimate_tokens

WINDOW = 8000  # so: 2000 tokens for the system's words, 2000 for the recent turns, 1000 for a message


def session(*messages: Message, context: Context | None = None) -> Session:
    return Session("test", Transcript(messages=messages), context)


def say(role: Role, content: str, **more: Any) -> Message:
    return Message(role=role, content=content, **more)


def turns(count: int, tokens: int) -> list[Message]:
    """A conversation of `count` messages, the user's first, each of so many tokens and none like another."""
    return [say("assistant" if n % 2 else "user", f"{n:>8}" + "x" * (4 * tokens - 8)) for n in range(count)]


def tokens_of(messages: tuple[Message, ...]) -> int:
    return sum(estimate_tokens(message.content) for message in messages)


# --- sizes


@pytest.mark.parametrize(
    ("context", "tokens"),
    [(None, 0), ("", 0), ("x" * 400, 100), (["x" * 40, "y" * 40], 20), ([{"role": "user", "content": "x" * 40}], 10)],
)
def test_the_size_is_that_of_the_conversation_and_of_the_context(context: Context | None, tokens: int) -> None:
    assert size_of(session(say("system", "x" * 20), say("user", "y" * 20), context=context)) == 10 + tokens


def test_what_is_not_ascii_counts_by_its_bytes() -> None:
    assert size_of(session(say("user", "é" * 400))) == 200
    assert size_of(session(say("user", "😀" * 400))) == 400


def test_calls_of_tools_count() -> None:
    call = ToolCall(id="1", name="write", arguments='{"text": "' + "x" * 4000 + '"}')
    assert size_of(session(say("assistant", "", tool_calls=(call,)))) > 1000


@pytest.mark.parametrize(
    ("context", "texts"),
    [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"]), ([{"role": "user", "content": "a"}], ["a"]), ([], [])],
)
def test_a_context_of_any_shape_is_texts(context: Context | None, texts: list[str]) -> None:
    assert texts_of(context) == texts


# --- short conversations


def test_a_short_conversation_is_shown_whole_and_code_can_work_on_it() -> None:
    said = [say("system", "Be kind."), say("user", "One?"), say("assistant", "1."), say("user", "Two?")]
    seen = view(session(*said), WINDOW)
    assert seen.messages == tuple(said)
    assert seen.question == "Two?"
    assert seen.context == [{"role": message.role, "content": message.content} for message in said[1:]]


def test_the_question_is_what_the_user_said_last() -> None:
    call = ToolCall(id="1", name="read", arguments="{}")
    said = [
        say("user", "What is in it?"),
        say("assistant", "", tool_calls=(call,)),
        say("tool", "words", tool_call_id="1"),
    ]
    seen = view(session(*said), WINDOW)
    assert seen.question == "What is in it?"
    assert seen.messages == tuple(said)


@pytest.mark.parametrize(
    "said", [[], [say("system", "Be kind.")], [say("system", "A" * 40_000)], [say("assistant", "Hm.")]]
)
def test_a_conversation_in_which_no_user_spoke_has_no_question(said: list[Message]) -> None:
    seen = view(session(*said), WINDOW)
    assert seen.question == ""
    assert len(seen.messages) == len(said)


def test_a_context_of_its_own_is_what_lies_in_the_environment() -> None:
    seen = view(session(say("user", "Who?"), context="A text."), WINDOW)
    assert (seen.messages, seen.question, seen.context) == ((say("user", "Who?"),), "Who?", "A text.")


# --- long messages


@pytest.mark.parametrize("character", ["x", "é", "😀", "字"])
def test_a_long_message_is_shown_by_its_head_and_its_tail(character: str) -> None:
    text = f"HEAD {character * 50_000} TAIL"
    seen = view(session(say("user", text)), WINDOW)
    shown = seen.messages[0].content
    head, _, rest = shown.partition("\n[... ")
    note, _, tail = rest.partition(" ...]\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert note == f"{len(text) - len(head) - len(tail):,} characters are left out here; `context` has all of it"
    assert 900 <= estimate_tokens(head) + estimate_tokens(tail) <= 1000, "an eighth of the window"
    assert seen.context == text, "a text that is all there is, is the context itself"


@pytest.mark.parametrize("character", ["x", "字"])
def test_the_systems_words_share_a_quarter_of_the_window(character: str) -> None:
    said = [say("system", character * 50_000), say("developer", character * 50_000), say("user", "Hello?")]
    seen = view(session(*said), WINDOW)
    assert tokens_of(seen.messages[:2]) <= 2000 + 2 * 30, "and a note in each"
    assert seen.messages[2] == said[2]
    assert seen.context == [{"role": message.role, "content": message.content} for message in said[:2]]


def test_system_words_that_come_later_are_part_of_the_conversation() -> None:
    said = [say("user", "One?"), say("system", "Be brief."), *turns(100, 400)]
    seen = view(session(*said), WINDOW)
    assert said[1] not in seen.messages
    assert {"role": "system", "content": "Be brief."} in seen.context


def test_whatever_the_window_a_message_keeps_a_few_words() -> None:
    text = "HEAD" + "x" * 5000 + "TAIL"
    shown = view(session(say("user", text)), 10).messages[0].content
    assert shown.startswith("HEADxxx")
    assert shown.endswith("xxxTAIL")
    assert len(shown) < 400


def test_what_is_shown_never_fills_the_window() -> None:
    dice = random.Random(3)
    for _ in range(200):
        characters = "x字é😀"
        said = [say("system", dice.choice(characters) * dice.choice([10, 100_000])) for _ in range(dice.randint(0, 2))]
        for n in range(dice.randint(1, 30)):
            said.append(
                say("assistant" if n % 2 else "user", dice.choice(characters) * dice.choice([1, 500, 2000, 100_000]))
            )
        shown = view(session(*said), WINDOW).messages
        assert tokens_of(shown) <= (1 / 4 + 1 / 4) * WINDOW + 30 * len(shown)
        assert shown[-1].role == said[-1].role


def test_between_prompt_and_environment_nothing_is_lost() -> None:
    dice = random.Random(4)
    for _ in range(100):
        said = [say("system", f"{n}" + "s" * dice.choice([10, 20_000])) for n in range(dice.randint(0, 2))]
        for n, message in enumerate(turns(dice.randint(1, 40), 300)):
            said.append(message.model_copy(update={"content": message.content * dice.choice([1, 1, 8])}))
            if n % 2 and dice.random() < 0.3:
                said.append(say("tool", f"{n} result", tool_call_id=str(n)))
        seen = view(session(*said), WINDOW)
        laid = [{"role": message.role, "content": message.content} for message in said]
        if isinstance(seen.context, str):
            seen = replace(seen, context=[{"role": "user", "content": seen.context}])
        assert [entry for entry in laid if entry in seen.context] == seen.context, "in the order in which it was said"
        for message, entry in zip(said, laid, strict=True):
            assert message in seen.messages or entry in seen.context


def test_arguments_of_a_call_that_is_not_shown_lie_in_the_environment() -> None:
    call = ToolCall(id="1", name="write", arguments='{"path": "a.py"}')
    said = [
        say("user", "Write."),
        say("assistant", "I write.", tool_calls=(call,)),
        say("tool", "Done.", tool_call_id="1"),
    ]
    seen = view(session(*said, *turns(30, 400)), WINDOW)
    assert {"role": "assistant", "content": 'I write.\nTOOL_INTENT: call write with {"path": "a.py"}'} in seen.context
    assert {"role": "tool", "content": "Done."} in seen.context


def test_long_arguments_of_a_call_are_shortened_and_lie_whole_in_the_environment() -> None:
    arguments = '{"text": "' + "x" * 50_000 + '"}'
    call = ToolCall(id="1", name="write", arguments=arguments)
    said = [say("user", "Write."), say("assistant", "", tool_calls=(call,)), say("tool", "Done.", tool_call_id="1")]
    seen = view(session(*said), WINDOW)
    (shown,) = seen.messages[1].tool_calls
    assert estimate_tokens(shown.arguments) < 1100
    assert (shown.id, shown.name) == ("1", "write")
    assert shown.arguments.startswith('{"text": "xxx')
    assert seen.context == [{"role": "assistant", "content": f"TOOL_INTENT: call write with {arguments}"}]


# --- the question of a long message

FILLER = "Nothing of note was said here. " * 4000


@pytest.mark.parametrize(
    "text",
    [
        f"What is the code?\n\n{FILLER}",
        f"\n\nWhat is the code?\n\n{FILLER}\n\n",
        f"{FILLER}\n\nWhat is the code?",
        f"{FILLER}\n\nWhat is the code?  \n",
        f"What is the code?\n{FILLER}",
        f"{FILLER}\nWhat is the code?",
        f"Read this.\n\n{FILLER}\n\nWhat is the code?",
        f"What is the code?\n\n{FILLER}\n\nThat was all of it.",
    ],
    ids=[
        "head",
        "blank lines",
        "tail",
        "tail and blanks",
        "head line",
        "tail line",
        "tail after a head",
        "head before a tail",
    ],
)
def test_the_question_of_a_long_message_is_found_at_its_head_or_its_tail(text: str) -> None:
    seen = view(session(say("user", text)), WINDOW)
    assert seen.question == "What is the code?"
    assert "What is the code?" in seen.messages[0].content


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "\n\nWhat is the code?"), ("What is the code?\n\n", ""), ("Is it here?\n", "\nWhat is the code?\n")],
)
def test_who_searches_the_text_for_a_question_does_not_find_the_question(before: str, after: str) -> None:
    text = "The code is 7.\n" + FILLER.strip()
    assert view(session(say("user", before + text + after)), WINDOW).context == text


@pytest.mark.parametrize("text", [f"Give the code.\n\n{FILLER}", f"{FILLER}\n\nGive the code."])
def test_what_may_be_no_question_stays_in_the_text(text: str) -> None:
    assert view(session(say("user", text)), WINDOW).context == text


def test_of_a_text_with_its_question_the_question_is_shown() -> None:
    asked = say("user", f"The code is 7.\n{FILLER.strip()}\n\nWhat is the code?")
    assert view(session(say("system", "Be brief."), asked), WINDOW).messages[1:] == (say("user", "What is the code?"),)


def test_who_searches_for_the_next_question_does_not_find_the_one_before_it() -> None:
    text = "The code is 7. The key is 8.\n" + FILLER.strip()
    said = [say("user", f"{text}\n\nWhat is the code?"), say("assistant", "It is 7."), say("user", "What is the key?")]
    seen = view(session(*said), WINDOW)
    assert (seen.question, seen.context) == ("What is the key?", text)
    assert seen.messages[0].content.endswith("\n\nWhat is the code?"), "it is shown instead"


def test_of_a_text_that_is_no_longer_shown_the_question_lies_in_the_environment() -> None:
    first = say("user", f"{FILLER.strip()}\n\nWhat is the code?")
    seen = view(session(first, *turns(101, 100)), WINDOW)
    assert seen.context[0] == {"role": "user", "content": first.content}


def test_a_message_that_is_short_enough_is_shown_whole_with_its_question() -> None:
    asked = say("user", f"{'The code is 7. ' * 150}\n\nWhat is the code?")
    assert view(session(say("user", "x" * 100_000), say("assistant", "Yes?"), asked), WINDOW).messages[-1] == asked


def test_of_a_text_that_comes_later_with_its_question_the_ends_are_shown_too() -> None:
    asked = say("user", f"HEAD {FILLER.strip()} TAIL\n\nWhat is the code?")
    seen = view(session(say("user", "Hello?"), say("assistant", "Yes?"), asked), WINDOW)
    shown = seen.messages[2].content
    assert shown.startswith("A long text; `context` has all of it. It begins:\nHEAD")
    assert shown.endswith("TAIL\n\nWhat is the code?")
    assert len(shown) < 700


@pytest.mark.parametrize("text", [f"Give the code.\n\n{FILLER}", f"{FILLER}\n\nGive the code."])
def test_what_is_asked_need_not_be_a_question(text: str) -> None:
    assert view(session(say("user", text)), WINDOW).question == "Give the code."


def test_head_and_tail_are_both_the_question_where_either_may_be() -> None:
    text = f"Give the code.\n\n{FILLER}\n\nIn one word."
    assert view(session(say("user", text)), WINDOW).question == "Give the code.\n\nIn one word."


def test_the_question_of_a_text_without_lines_is_its_ends() -> None:
    question = view(session(say("user", f"Give the code. {FILLER} In one word.")), WINDOW).question
    assert question.startswith("Give the code.")
    assert question.endswith("In one word.")
    assert len(question) < 2100


def test_a_question_is_short_whatever_is_asked() -> None:
    dice = random.Random(5)
    for _ in range(300):
        text = "".join(dice.choices(["?", "\n", "\n\n", "words " * 30, "x" * 900, " "], k=dice.randint(1, 60)))
        assert len(view(session(say("user", text)), WINDOW).question) <= 4002


def test_a_long_question_about_a_context_of_its_own_is_whole() -> None:
    asked = f"Is one of these in the text?\n\n{FILLER}"
    seen = view(session(say("user", asked), context="A text."), WINDOW)
    assert seen.question == asked
    assert "; `question` has all of it" in seen.messages[0].content


# --- recent turns


def test_recent_turns_are_shown_and_the_others_lie_in_the_environment() -> None:
    said = turns(101, 100)
    seen = view(session(say("system", "Be kind."), *said), WINDOW)
    shown = len(seen.messages) - 1
    assert seen.messages == (say("system", "Be kind."), *said[-shown:])
    assert 1000 - 100 <= tokens_of(seen.messages[1:]) <= 2000, "between half of a quarter of the window and all of it"
    assert seen.context == [{"role": message.role, "content": message.content} for message in said[:-shown]]


def test_the_prompt_of_a_turn_begins_the_next_turns_but_for_a_few_hops() -> None:
    said = turns(400, 50)
    shown = [view(session(*said[: n + 1]), WINDOW).messages for n in range(len(said))]
    hops = [after for before, after in itertools.pairwise(shown) if after[: len(before)] != before]
    assert 15 <= len(hops) <= 20, "each gives up 1000 tokens, and there are 20,000"
    for after in hops:
        assert after == tuple(said[said.index(after[0]) : said.index(after[-1]) + 1])


def test_hops_depend_on_what_was_said_and_not_on_when_it_is_looked_at() -> None:
    dice = random.Random(6)
    said = [message.model_copy(update={"content": message.content * dice.randint(1, 30)}) for message in turns(120, 20)]
    starts = []
    for n in range(1, len(said) + 1):
        shown = view(session(*said[:n]), WINDOW).messages
        starts.append(n - len(shown))
        assert tokens_of(shown) <= 2000 + 30 * len(shown)
    assert starts == sorted(starts), "what was given up does not come back"
    assert len(set(starts)) < len(said) / 4


def test_a_tools_result_is_shown_with_the_call_that_it_answers() -> None:
    said: list[Message] = []
    for n in range(60):
        calls = tuple(ToolCall(id=f"{n}.{m}", name="read", arguments="{}") for m in range(3))
        said += [say("user", f"{n}" + "x" * 400), say("assistant", "", tool_calls=calls)]
        said += [say("tool", f"{n}.{m}" + "y" * 400, tool_call_id=f"{n}.{m}") for m in range(3)]
    for end in range(1, len(said) + 1):
        shown = view(session(*said[:end]), WINDOW).messages
        assert shown[0].role != "tool"
        called = {call.id for message in shown for call in message.tool_calls}
        assert {message.tool_call_id for message in shown if message.role == "tool"} <= called


# --- what the context is


@pytest.mark.parametrize("text", ["", "A short text.\nOf two lines.", "字" * 600])
def test_a_short_text_is_described_by_itself(text: str) -> None:
    described = describe(text)
    assert described.startswith(f"`context` is a str of {len(text)} characters")
    assert described.endswith(f":\n{text}")


def test_a_long_text_is_described_by_its_size_its_lines_and_its_ends() -> None:
    text = "The beginning.\n" + "words\n" * 5000 + "The end."
    described = describe(text)
    assert described.startswith("`context` is a str of 30,023 characters (about 7,506 tokens) in 5,002 lines.")
    assert "It begins:\nThe beginning.\nwords" in described
    assert described.endswith("words\nThe end.")
    assert len(described) < 1000


def test_documents_are_described_by_their_number_and_lengths() -> None:
    described = describe(["The first.", "x" * 5000, "The last."])
    assert "a list of 3 documents (str), of 9 to 5,000 characters, 5,019 characters" in described
    assert "The first." in described
    assert described.endswith("The last.")


def test_messages_are_described_by_who_said_them() -> None:
    said = turns(101, 100)
    described = describe(view(session(*said), WINDOW).context)
    count = int(described.split()[5])
    assert described.startswith(f'`context` is a list of {count} messages {{"role": ..., "content": ...}}')
    assert f"({-(-count // 2)} of user, {count // 2} of assistant)" in described


def test_an_empty_list_is_said_to_be_empty() -> None:
    assert "empty list" in describe([])
    assert "empty list" in describe(view(session(say("system", "Be kind.")), WINDOW).context)


@pytest.mark.parametrize("context", ["😀" * 50_000, ["😀" * 50_000], [{"role": "user", "content": "字" * 50_000}]])
def test_a_description_is_short_whatever_the_context(context: Context) -> None:
    assert len(describe(context)) < 1000
