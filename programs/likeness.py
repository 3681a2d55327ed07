"""Which tools an intent is like, by the words that they share.

A hint for small models, which overlook in a list what is the same word in both; and the choice where there are more
tools than can be shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from programs.transcript import Tool

_WORD = re.compile(r"[a-z]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENDINGS = ("ations", "ation", "ating", "ated", "ates", "ate", "ings", "ing", "ies", "ied", "ers", "er", "es", "ed")
_SHORT_ENDINGS = ("s", "y", "e")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """a an and any are as at be by can could do does for from get has have how i if in is it its me my need of on
        or our please s should some t that the their them there these this to use using want was we what when where
        which who will with would you your""",
    )
)
_IN_NAME, _IN_DESCRIPTION, _IN_ARGUMENT = 3.0, 1.0, 0.5
_CLOSE = 0.4  # of the best score: what is less like it is not told
_MOST, _MOST_WORDS = 3, 4


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like a tool is to an intent: the more words they share, and the rarer they are among the tools, the more."""

    tool: Tool
    score: float
    words: tuple[str, ...]


def likenesses(intent: str, tools: Sequence[Tool]) -> list[Likeness]:
    """One for each tool, in their order. A tool that is named outright beats all that are not."""
    said: dict[str, str] = {}
    for word in _words(intent):
        said.setdefault(_stem(word), word)
    weights = [_weights(tool) for tool in tools]
    spread = Counter(stem for weighed in weights for stem in weighed)
    found = []
    for tool, weighed in zip(tools, weights, strict=True):
        worth = {stem: weighed[stem] * log(1 + len(tools) / spread[stem]) for stem in said if stem in weighed}
        named = 100.0 if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", intent) else 0.0
        words = tuple(said[stem] for stem in sorted(worth, key=lambda stem: -worth[stem]))
        found.append(Likeness(tool, sum(worth.values()) + named, words))
    return found


def hint(intent: str, tools: Sequence[Tool]) -> str:
    """The tools most like `intent`, the best first, with the words that they share with it."""
    likely = sorted(likenesses(intent, tools), key=lambda like: -like.score)[:_MOST]
    close = [like for like in likely if like.score > 0 and like.score >= _CLOSE * likely[0].score]
    return ", ".join(map(_told, close)) or "none"


def likely(intent: str, tools: Sequence[Tool]) -> str:
    """The hint as the compiler is told it."""
    return f"Like it: {hint(intent, tools)}"


def stems(text: str) -> set[str]:
    """The words of a text that say something, without their endings; numbers are words."""
    return {_stem(word) for word in words_in(text) if word not in _COMMON}


def is_about(part: str, tools: Sequence[Tool]) -> bool:
    """Whether a text shares a word with the name or the description of a tool, and not just with its arguments."""
    said = set(map(_stem, _words(part)))
    return any(not said.isdisjoint(map(_stem, _words(f"{tool.name} {tool.description}"))) for tool in tools)


def _told(like: Likeness) -> str:
    return f"{like.tool.name} ({', '.join(like.words[:_MOST_WORDS])})" if like.words else like.tool.name


def _weights(tool: Tool) -> Mapping[str, float]:
    """How much each word, by its stem, says about a tool."""
    properties = tool.parameters.get("properties")
    arguments: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
    weights: dict[str, float] = {}
    for name, schema in arguments.items():
        said = str(schema.get("description") or "") if isinstance(schema, Mapping) else ""
        weights |= dict.fromkeys(map(_stem, _words(f"{name} {said}")), _IN_ARGUMENT)
    weights |= dict.fromkeys(map(_stem, _words(f"{' '.join(arguments)} {tool.description}")), _IN_DESCRIPTION)
    return weights | dict.fromkeys(map(_stem, _words(tool.name)), _IN_NAME)


def words_in(text: str) -> list[str]:
    """The words of a text, in small letters; parts of `camelCase` and `snake_case` are words."""
    return _WORD.findall(_CAMEL.sub(" ", text).lower())


def _words(text: str) -> Iterator[str]:
    """The words of a text that say something of a tool: that both hold a 2 does not."""
    return (word for word in words_in(text) if word not in _COMMON and not word.isdigit())


def _stem(word: str) -> str:
    """The word without its ending, roughly: `calculates`, `calculated` and `calculation` are one."""
    for ending in (*_ENDINGS, *_SHORT_ENDINGS):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
