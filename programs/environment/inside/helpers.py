"""What makes good code short: `peek`, `grep`, `search` and `chunks` over `context`, whichever of its shapes it has.

They read the variable `context` at the time of the call, so code may replace it by a part of itself.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

_PASSAGE = 600
_COMMON = {
    "a", "about", "all", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "did", "do",
    "does", "for", "from", "give", "had", "has", "have", "how", "i", "if", "in", "is", "it", "its", "me",
    "my", "no", "not", "of", "on", "one", "or", "our", "out", "said", "say", "should", "so", "tell", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "us", "was", "we", "were", "what",
    "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "would", "you", "your",
}  # fmt: skip


def bound_to(current: Callable[[], Any]) -> dict[str, Callable[..., Any]]:
    """The four helpers, working on what `current` returns at the time of the call."""

    def peek(start: int = 0, size: int = 1000) -> str:
        """`size` characters of the context from `start` on (from its end, where `start` is negative)."""
        whole = _joined(current())
        begin = max(0, len(whole) + start) if start < 0 else start
        return whole[begin : begin + size]

    def grep(pattern: str, limit: int = 50) -> list[str]:
        """The lines that the regular expression is found in, whatever the case; at most `limit`."""
        found: list[str] = []
        for text in _texts(current()):
            after = 0
            for match in re.finditer(pattern, text, re.IGNORECASE | re.MULTILINE):
                if match.start() < after:
                    continue
                begin = text.rfind("\n", 0, match.start()) + 1
                end = text.find("\n", match.end())
                after = len(text) if end < 0 else end
                found.append(text[begin:after])
                if len(found) == limit:
                    return found
                after += 1
        return found

    def search(question: str, limit: int = 5) -> list[str]:
        """The `limit` passages that say most about `question`, best first (BM25)."""
        passages = chunks(_PASSAGE)
        terms = terms_of(question)
        if not terms or not passages:
            return []
        scores = bm25(passages, terms)
        best = sorted((index for index, score in enumerate(scores) if score > 0), key=lambda index: -scores[index])
        return [passages[index] for index in best[:limit]]

    def chunks(size: int = 4000) -> list[str]:
        """The context in pieces of at most `size` characters, cut at the ends of lines or sentences where possible."""
        pieces: list[str] = []
        pending = ""
        for text in _texts(current()):
            if pending and len(pending) + len(text) + 1 <= size:
                pending += "\n" + text
                continue
            if pending:
                pieces.append(pending)
            *whole, pending = cut(text, size)
            pieces += whole
        return [*pieces, pending] if pending else pieces

    return {"peek": peek, "grep": grep, "search": search, "chunks": chunks}


def _texts(context: Any) -> Iterator[str]:
    """The context's texts, one after another: itself, its documents, or its messages with who said them."""
    if isinstance(context, (list, tuple)):
        for item in context:
            if isinstance(item, dict) and "content" in item:
                yield f"{item['role']}: {item['content']}" if "role" in item else str(item["content"])
            else:
                yield str(item)
    else:
        yield str(context)


def _joined(context: Any) -> str:
    return context if isinstance(context, str) else "\n".join(_texts(context))


_END_OF_SENTENCE = re.compile(r"[.!?][\"')\]]*\s+")


def cut(text: str, size: int) -> list[str]:
    """`text` in pieces of at most `size` characters, cut at the ends of lines or sentences; never none."""
    if size < 1:
        raise ValueError("size must be at least 1")
    pieces = []
    begin = 0
    while len(text) - begin > size:
        end = begin + size
        line = text.rfind("\n", begin + size // 2, end)
        if line >= 0:
            end = line + 1
        else:
            for match in _END_OF_SENTENCE.finditer(text, begin + size // 2, end):
                end = match.end()
            if end == begin + size:
                space = text.rfind(" ", begin + size // 2, end)
                end = space + 1 if space >= 0 else end
        pieces.append(text[begin:end])
        begin = end
    return [*pieces, text[begin:]]


def terms_of(question: str) -> list[str]:
    """What to look for, for `bm25`: the question's words without common ones and endings, each once."""
    words = [word.lower() for word in re.findall(r"\w+", question)]
    telling = [word for word in words if word not in _COMMON] or words
    return list(dict.fromkeys(_stem(word) for word in telling))


def _stem(word: str) -> str:
    """`word` without a common ending, so that "needles" finds "needle"."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def bm25(passages: list[str], terms: list[str], k1: float = 1.2, b: float = 0.75) -> list[float]:
    """How much each passage says about the terms. One scan of the text finds all of them."""
    starts = [0]
    for passage in passages:
        starts.append(starts[-1] + len(passage) + 1)
    counts: list[Counter[int]] = [Counter() for _ in terms]
    # The longest first: an alternation takes the first that fits.
    order = sorted(range(len(terms)), key=lambda index: -len(terms[index]))
    pattern = r"\b(?:" + "|".join(f"({re.escape(terms[index])})" for index in order) + r")\w{0,3}\b"
    for match in re.finditer(pattern, "\n".join(passages), re.IGNORECASE):
        counts[order[(match.lastindex or 1) - 1]][bisect_right(starts, match.start()) - 1] += 1
    average = starts[-1] / len(passages)
    scores = [0.0] * len(passages)
    for found in counts:
        rarity = math.log(1 + (len(passages) - len(found) + 0.5) / (len(found) + 0.5))
        for index, count in found.items():
            weight = k1 * (1 - b + b * len(passages[index]) / average)
            scores[index] += rarity * count * (k1 + 1) / (count + weight)
    return scores
