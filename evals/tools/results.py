"""What came of each case, as a file that a run is taken up from again: a line of JSON a case."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from evals.tools.cases import Case
from evals.tools.score import why_invalid, why_wrong
from programs.errors import ConfigurationError
from programs.transcript import ToolCall

type Side = Literal["rants", "own"]


class Outcome(BaseModel):
    """What one side did with one case.

    Attributes:
        calls: that it made.
        said: beside them, or why there are none.
        invalid: which call does not fit its schema, and why; None where all do.
        wrong: in what they differ from what is right; None where they are right.
        seconds: that it took.
    """

    model_config = ConfigDict(frozen=True)

    calls: tuple[ToolCall, ...]
    said: str
    invalid: str | None
    wrong: str | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether the calls are right."""
        return self.wrong is None

    @classmethod
    def judged(cls, case: Case, calls: list[ToolCall], said: str, seconds: float) -> Outcome:
        """The outcome of these calls."""
        invalid, wrong = why_invalid(case, calls), why_wrong(case, calls)
        return cls(calls=tuple(calls), said=said, invalid=invalid, wrong=wrong, seconds=round(seconds, 3))


class Result(BaseModel):
    """One case, with what both sides did: RANTS, and the same model's own function calling if it was asked."""

    model_config = ConfigDict(frozen=True)

    id: str
    model: str
    category: str
    intent: str
    gold: tuple[dict[str, Any], ...]
    rants: Outcome
    own: Outcome | None = None


class Results:
    """The results of one folder.

    Args:
        folder: made if need be; `results.jsonl` in it is read, and added to. None keeps nothing.

    Raises:
        ConfigurationError: the file cannot be read or written, or is something else.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "results.jsonl"
        self._known: dict[tuple[str, str], Result] = {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text("utf-8") if self._path.exists() else ""
            # A run that was killed may have left a part of a line.
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                self._path.write_text(whole, "utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot use {self._path}: {error.strerror}") from error
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._keep(Result.model_validate_json(line))
            except ValidationError as error:
                raise ConfigurationError(f"{self._path}, line {number} is no result: choose another --out") from error

    def find(self, case: Case, model: str, *, own: bool) -> Result | None:
        """What is already known of a case, both sides if both are wanted."""
        known = self._known.get((model, case.id))
        return None if known is None or (own and known.own is None) else known

    def add(self, result: Result) -> None:
        """Keep a result, in the file too."""
        self._keep(result)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{result.model_dump_json()}\n")

    def _keep(self, result: Result) -> None:
        self._known[result.model, result.id] = result
