"""How replies to the tasks `labels` and `pairs` are scored, as their papers score: OOLONG and OOLONG-Pairs."""

from __future__ import annotations

import re

from evals.tasks.labels import PART
from evals.tasks.questions import COMPARISONS
from evals.tasks.task import Task

_SHORT = 40  # characters: what is no longer, and has no colon, is an answer as a whole
_AROUND = " \t\n*[]\"'`\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}"
_NUMBER = re.compile(r"-?(\d{1,15}|\d{1,3}(,\d{3}){1,4})")
_PAIR = re.compile(r"\(\s*(\d{1,15})\s*,\s*(\d{1,15})\s*\)")


def score_labels(task: Task, reply: str) -> float:
    """OOLONG's score (arXiv 2511.02817): 0.75^|y - y'| for a number, else 1 for the very answer and 0 for any other."""
    said = _said(reply)
    if task.answer in COMPARISONS:
        return float(_comparison(said) == task.answer or _comparison(reply) == task.answer)
    if not task.answer.isdecimal():
        return float(said == task.answer)
    return PART ** abs(int(said.replace(",", "")) - int(task.answer)) if _NUMBER.fullmatch(said) else 0.0


def score_pairs(task: Task, reply: str) -> float:
    """OOLONG-Pairs' score (arXiv 2512.24601): the F1 of the pairs in the reply; where none are right, 1 for none."""
    right, said = _pairs(task.answer), _pairs(reply)
    return 2 * len(right & said) / (len(right) + len(said)) if right or said else 1.0


def right_labels(task: Task, reply: str) -> bool:
    """Whether the reply is just the answer: the last word of a sentence may be right by chance."""
    return score_labels(task, reply) == 1 and (task.answer in COMPARISONS or not _is_sentence(reply))


def right_pairs(task: Task, reply: str) -> bool:
    """Whether the reply has just the right pairs; where none are right, it must say so."""
    return score_pairs(task, reply) == 1 and (bool(_pairs(reply)) or "none" in reply.lower())


def _said(reply: str) -> str:
    """The answer in a reply: what follows the last colon, or all of a short one, or the last word of a long one."""
    last = reply.strip().rpartition(":")[2]
    if _is_sentence(reply):
        last = last.split()[-1]
    return last.strip(_AROUND).removesuffix(".").strip(_AROUND)


def _is_sentence(reply: str) -> bool:
    return ":" not in reply and len(reply.strip()) > _SHORT


def _comparison(text: str) -> str | None:
    """The one comparison that a text speaks of; None where it is another number of them."""
    found = [comparison for comparison in COMPARISONS if comparison in text.lower()]
    return found[0] if len(found) == 1 else None


def _pairs(text: str) -> set[tuple[int, int]]:
    """The pairs of a text, whichever way round, each once."""
    found = [(int(a), int(b)) for a, b in _PAIR.findall(text)]
    return {(min(pair), max(pair)) for pair in found}
