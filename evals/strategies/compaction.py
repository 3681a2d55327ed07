"""Compaction: the text is read piece by piece into running notes, and the question is answered from those.

It is the summary agent that the paper of RLMs compares with (arXiv 2512.24601): what fits is asked at once; of what
does not, only what was noted is left.
"""

from __future__ import annotations

from evals.strategies.asking import ask, concluding, room_of, worded
from evals.strategies.strategy import Said
from evals.tasks import Task
from programs import Backends
from programs.budget import Budget
from programs.context import shorten
from programs.environment.inside.helpers import cut
from programs.errors import BudgetSpent, ContextTooLong
from programs.settings import BudgetSettings
from programs.transcript import estimate_tokens

_NOTES_SHARE = 4  # of the room; the rest is for the piece
_SHORTEST = 1000  # characters: less is not cut again
_READ = """Notes on the text so far:
{notes}

The next part of the text:
{piece}

This question about the whole text will be asked at its end:
{question}

Write the notes anew. Keep what is in them, and add what this part says that is needed to answer the question."""
_NOTHING = "(none)"


async def answer(task: Task, backends: Backends, budget: BudgetSettings) -> Said:
    """See `Answer`. When the budget is spent, it answers from the notes that it has.

    Raises:
        BackendError: the model failed.
        ContextTooLong: also much less than its window was too much for it.
    """
    if estimate_tokens(task.context) <= room_of(backends, worded("", task.question)):
        try:
            return Said(await ask(backends, worded(task.context, task.question), Budget(budget)))
        except ContextTooLong:
            pass  # the count was too rough
    left = Budget(concluding(budget))
    room = room_of(backends, _READ, task.question)
    kept = room // _NOTES_SHARE
    size = max(1, int((room - kept) * len(task.context) / estimate_tokens(task.context)))
    parts = cut(task.context, size)[::-1]
    notes, written, stopped_by = _NOTHING, list[str](), None
    try:
        while parts:
            piece = parts.pop()
            prompt = _READ.format(notes=shorten(notes, kept), piece=piece, question=task.question)
            try:
                notes = await ask(backends, prompt, left)
            except ContextTooLong:
                if len(piece) <= _SHORTEST:
                    raise
                parts += cut(piece, len(piece) // 2)[::-1]
                continue
            written.append(notes)
    except BudgetSpent as stop:
        stopped_by = stop.what
    reply = await ask(backends, worded(shorten(notes, kept), task.question), left, concluding=True)
    return Said(reply, stopped_by, "\n\n---\n\n".join(written))
