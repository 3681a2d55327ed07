"""What became of each conversation, as a file that a run is taken up from again: a line of JSON a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from evals.ledger import Ledger


class Played(BaseModel):
    """What became of a conversation.

    Attributes:
        side: who answered: `RANTS`, or `own tool calling`.
        model: as the results name it.
        seed: of the scenario.
        right: whether the desk's state is as it should be, and every fact was told.
        state: whether the first of these is so.
        missing: the facts that were not told.
        calls: how many were made.
        invalid: of these, how many name no tool or do not fit its schema.
        replies: how often the model answered, with calls or with text.
        seconds: that it took.
        failure: why it ended early, if it did.
        messages: all of it, as the wire has it.
    """

    model_config = ConfigDict(frozen=True)

    side: str
    model: str
    seed: int
    right: bool
    state: bool
    missing: tuple[str, ...]
    calls: int
    invalid: int
    replies: int
    seconds: float
    failure: str | None
    messages: tuple[dict[str, Any], ...]


type Results = Ledger[tuple[str, str, int], Played]
"""By side, model and seed."""


def results_of(folder: Path) -> Results:
    """The results of one folder, in its file `turns.jsonl`.

    Raises:
        ConfigurationError: see `Ledger`.
    """
    return Ledger(folder, Played, lambda played: (played.side, played.model, played.seed), name="turns.jsonl")
