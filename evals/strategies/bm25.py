"""BM25: passages of the text, those that have most to do with the question, until the window is full; then one call."""

from __future__ import annotations

import asyncio

import bm25s

from evals.strategies.asking import ask_about
from evals.strategies.strategy import Said
from evals.tasks import Task
from programs import Backends
from programs.budget import Budget
from programs.environment.inside.helpers import cut
from programs.settings import BudgetSettings
from programs.transcript import estimate_tokens

_PASSAGE = 1000  # characters
_GAP = "\n[...]\n"


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`. The passages are in the text's order.

    Raises:
        BackendError: the model failed.
        ContextTooLong: also much less than its window was too much for it.
    """
    passages = cut(task.context, _PASSAGE)
    ranking = await asyncio.to_thread(ranked, passages, task.question)
    return Said(await ask_about(backends, task.question, Budget(budget), lambda room: chosen(passages, ranking, room)))


def ranked(passages: list[str], question: str) -> list[int]:
    """The passages' places, best first; of equals the first."""
    asked = bm25s.tokenize([question], return_ids=False, show_progress=False)[0]
    words = bm25s.tokenize(passages, show_progress=False)
    known = [word for word in asked if word in words.vocab]
    if not known:
        return list(range(len(passages)))
    index = bm25s.BM25()
    index.index(words, show_progress=False)
    scores = index.get_scores(known)
    return sorted(range(len(passages)), key=lambda place: -float(scores[place]))


def chosen(passages: list[str], ranking: list[int], room: int) -> str:
    """The best passages that fit into `room` tokens, in order; a mark where something is left out between them."""
    taken: set[int] = set()
    for place in ranking:
        room -= estimate_tokens(passages[place]) + estimate_tokens(_GAP)
        if room < 0 and taken:
            break
        taken.add(place)
    return "".join(
        passages[place] if place - 1 in taken or place == 0 else _GAP + passages[place] for place in sorted(taken)
    )
