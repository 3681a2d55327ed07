"""How likely labels are, read from the likeliest first tokens of a reply."""

import math
from typing import Any

import pytest
from dspy.lm15 import TokenLogprob, TopLogprob

from programs.likelihoods import lean, likeliest, likelihoods, read, written

ANIMALS = ["cat", "dog", "cow"]


def first(**top: float) -> list[TokenLogprob]:
    """A reply with the probabilities of its first tokens, by name; `_` stands for a space."""
    others = tuple(TopLogprob(token.replace("_", " "), math.log(probability)) for token, probability in top.items())
    return [TokenLogprob(others[0].token, others[0].logprob, top=others)]


def shares(reply: Any, labels: list[str]) -> dict[str, float] | None:
    found = likelihoods(reply, labels)
    return None if found is None else {label: round(math.exp(likely), 3) for label, likely in found.items()}


def test_tokens_count_for_the_label_that_begins_with_them() -> None:
    told = first(The=0.5, ca=0.1, _ca=0.1, Do=0.1, cow=0.1)
    assert shares(told, ANIMALS) == {"cat": 0.5, "dog": 0.25, "cow": 0.25}


def test_a_label_that_no_token_is_for_has_at_most_the_last_one_s_probability() -> None:
    assert shares(first(dog=0.6, The=0.2, cat=0.1), ANIMALS) == {"cat": 0.125, "dog": 0.75, "cow": 0.125}


@pytest.mark.parametrize("logprob", [-9999.0, -math.inf, math.nan, 1e9])
def test_a_probability_that_is_none_does_no_harm(logprob: float) -> None:
    top = (TopLogprob("dog", -0.1), TopLogprob("cat", -0.2), TopLogprob("the", logprob))
    found = likelihoods([TokenLogprob("dog", -0.1, top=top)], ANIMALS)
    assert found is not None
    assert found["dog"] > found["cat"]
    assert all(map(math.isfinite, found.values()))


def test_a_token_that_is_a_part_of_a_character_counts_too() -> None:
    part = TopLogprob("\ufffd", -0.1, bytes=tuple("猫".encode()[:2]))
    whole = TopLogprob("犬", -3.0, bytes=tuple("犬".encode()))
    found = likelihoods([TokenLogprob("", -0.1, top=(part, whole))], ["犬", "猫"])
    assert found is not None
    assert max(found, key=lambda label: found[label]) == "猫"


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        [TokenLogprob("cat", -0.1)],
        first(The=0.9, I=0.1),
        first(c=0.6, dog=0.3),  # a cat, or a cow
    ],
)
def test_what_does_not_tell_the_labels_apart_tells_nothing(reply: list[TokenLogprob] | None) -> None:
    assert likelihoods(reply, ANIMALS) is None


def test_a_token_of_two_labels_does_not_matter_where_a_third_is_likelier() -> None:
    assert shares(first(dog=0.6, c=0.3, cat=0.1), ANIMALS) == {"cat": 0.125, "dog": 0.75, "cow": 0.125}


def test_a_label_that_is_given_twice_is_one() -> None:
    assert shares(first(dog=0.6, cat=0.2), ["dog", "cat", "dog"]) == {"dog": 0.75, "cat": 0.25}


def test_what_a_model_leans_to_is_taken_off() -> None:
    some, blank = (
        likelihoods(first(cat=0.6, dog=0.4), ["cat", "dog"]),
        likelihoods(first(cat=0.8, dog=0.2), ["cat", "dog"]),
    )
    assert some is not None
    assert blank is not None
    leaning = lean([blank, blank])
    assert leaning is not None
    assert likeliest(some, leaning) == "dog"
    assert likeliest(blank, {"cat": 0.0, "dog": 0.0}) == "cat"


def test_who_tells_nothing_of_blank_texts_leans_to_nothing_known() -> None:
    assert lean([]) is None


def test_what_is_written_into_a_record_is_read_again() -> None:
    found = likelihoods(first(cat=0.6, dog=0.4), ["cat", "dog"])
    assert read(written(found)) == found
    assert read(written(None)) is None
