"""The task `needle`: one sentence in a text of millions of characters, among others that look like it."""

from __future__ import annotations

import random

from evals.tasks.task import Task

_CHARS_PER_TOKEN = 4
_SENTENCES = 40  # of a paragraph


def make(seed: int, tokens: int = 1_000_000, distractors: int = 8) -> Task:
    """A question for the number in one sentence.

    Args:
        seed: the same seed gives the same task.
        tokens: of the text, at 4 characters each; it is at most a sentence longer.
        distractors: sentences of the same form about other places, with other numbers; at most 20.
    """
    dice = random.Random(f"needle {seed}")
    places = [f"{kind} {place}" for kind in _KINDS for place in _PLACES]
    codes = dice.sample(range(10**6, 10**7), distractors + 1)
    told = dict(zip(dice.sample(places, distractors + 1), codes, strict=True))
    hidden = [f"The access code of the {place} is {code}." for place, code in told.items()]
    left = tokens * _CHARS_PER_TOKEN - sum(map(len, hidden))
    sentences = []
    while left > 0:
        sentences.append(" ".join(dice.choices(_WORDS, k=12)).capitalize() + ".")
        left -= len(sentences[-1]) + 1
    for sentence in hidden:
        sentences.insert(dice.randrange(len(sentences) + 1), sentence)
    paragraphs = [" ".join(sentences[n : n + _SENTENCES]) for n in range(0, len(sentences), _SENTENCES)]
    place, code = next(iter(told.items()))
    question = f"What is the access code of the {place}? Answer with the number alone."
    return Task("\n".join(paragraphs), question, str(code))


_KINDS = ["amber", "crooked", "hidden", "lonely", "northern", "quiet", "western"]
_PLACES = ["harbour", "lighthouse", "library", "orchard", "observatory"]
_WORDS = [
    "a", "above", "across", "afternoon", "an", "and", "behind", "beside", "bench", "bird", "bread", "bridge",
    "called", "children", "cloud", "cold", "dark", "door", "dry", "early", "evening", "farmer", "field", "five",
    "found", "friend", "garden", "green", "hat", "heavy", "her", "hill", "house", "in", "its", "kitchen", "lamp",
    "late", "letter", "light", "long", "looked", "market", "meadow", "morning", "near", "neighbour", "never", "old",
    "on", "once", "path", "pear", "quickly", "rain", "red", "river", "road", "roof", "sang", "silver", "sister",
    "sky", "slowly", "small", "snow", "some", "song", "stone", "street", "summer", "table", "tall", "the", "their",
    "three", "tree", "two", "under", "village", "walked", "wall", "warm", "watched", "water", "when", "where",
    "white", "wind", "window", "winter", "wood", "yellow",
]  # fmt: skip
