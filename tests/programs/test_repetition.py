"""Which replies are taken for loops, and what is kept of them."""

from __future__ import annotations

import random

import pytest
from dspy.lm15 import StreamDeltaEvent, StreamStartEvent, TextDelta

from programs.repetition import Repetition

PHRASE = " for the special magic number"


def heard(text: str, seed: int = 0) -> Repetition:
    """The reply in pieces, until that is enough."""
    dice = random.Random(seed)
    loop, at = Repetition(), 0
    while at < len(text):
        size = dice.randint(1, 12)
        if loop.hear(StreamDeltaEvent(delta=TextDelta(text=text[at : at + size]))):
            break
        at += size
    return loop


@pytest.mark.parametrize("seed", range(20))
def test_a_loop_is_noticed_long_before_its_end_and_its_phrase_is_kept_once(seed: int) -> None:
    loop = heard("I look" + PHRASE * 1000, seed)
    assert loop.noticed
    assert loop.text == "I look" + PHRASE


def test_of_a_loop_after_code_the_code_is_kept() -> None:
    code = "Let me see.\n```python\nprint(1)\n```\n"
    loop = heard(code + "It prints 1. " * 1000)
    assert loop.noticed
    assert loop.text == code + "It prints 1. "


def test_one_letter_is_a_phrase_too() -> None:
    assert heard("a" + "!" * 5000).text == "a!"


@pytest.mark.parametrize(
    "text",
    [
        "La la la. " * 39,
        " ".join(map(str, range(3000))),
        "".join(f"- Item {number}: nothing of note here.\n" for number in range(200)),
        "```python\n" + "rows.append([0, 0, 0])\n" * 80 + "```",
        (PHRASE * 10 + "\n" + "x" * 120) * 3,
    ],
)
def test_what_only_looks_like_a_loop_is_let_go_on(text: str) -> None:
    loop = heard(text)
    assert not loop.noticed
    assert loop.text == text


def test_a_call_that_is_made_again_begins_anew() -> None:
    loop = heard(PHRASE * 13)
    assert not loop.hear(StreamStartEvent())
    assert not loop.hear(StreamDeltaEvent(delta=TextDelta(text=PHRASE * 13)))
    assert loop.text == PHRASE * 13
