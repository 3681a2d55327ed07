"""What came of each cell of an evaluation, as a file that a run is taken up from again: a line of JSON a cell."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Cell(BaseModel):
    """One thing to measure. Equal cells are measured once.

    Attributes:
        benchmark: by name.
        tokens: about how long the context is.
        strategy: by name.
        model: as the results name it; what is not configured alike must be named otherwise.
        seed: of the task.
    """

    model_config = ConfigDict(frozen=True)

    benchmark: str
    tokens: int
    strategy: str
    model: str
    seed: int


class Result(BaseModel):
    """What came of a cell.

    Attributes:
        cell: what was measured.
        score: 0 to 1, as the benchmark scores; 0 where it failed.
        right: whether the reply is wholly right.
        floor: what a guess scores.
        question, answer: of the task.
        reply: what came back, shortened where it is long.
        prompt, completion, cached: tokens of all model calls; those that were cached by the backend are among the
            first.
        model_calls: how many were made.
        seconds: that it took.
        failure: of which kind, where there is no reply: the name of an error's type, or `seconds`.
        said: the error's words.
        stopped_by: the part of the budget that ended it early, if one did.
        trace: the file with what was done, beside the results; None where there is nothing to tell.
    """

    model_config = ConfigDict(frozen=True)

    cell: Cell
    score: float
    right: bool
    floor: float
    question: str
    answer: str
    reply: str
    prompt: int
    completion: int
    cached: int
    model_calls: int
    seconds: float
    failure: str | None = None
    said: str | None = None
    stopped_by: str | None = None
    trace: Path | None = None
