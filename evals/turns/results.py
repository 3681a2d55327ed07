"""What became of each conversation, as a file that a run is taken up from again: a line of JSON a conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from programs.errors import ConfigurationError


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


class Results:
    """The results of one folder.

    Args:
        folder: made if need be; `turns.jsonl` in it is read, and added to.

    Raises:
        ConfigurationError: the file cannot be read or written, or is something else.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "turns.jsonl"
        self._known: dict[tuple[str, str, int], Played] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = self._path.read_text("utf-8") if self._path.exists() else ""
            # A run that was killed may have left a part of a line.
            whole = text[: text.rfind("\n") + 1]
            if whole != text:
                self._path.write_text(whole, "utf-8")
        except OSError as error:
            raise ConfigurationError(f"cannot use {self._path}: {error.strerror}") from error
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._keep(Played.model_validate_json(line))
            except ValidationError as error:
                raise ConfigurationError(f"{self._path}, line {number} is no result: choose another --out") from error

    def find(self, side: str, model: str, seed: int) -> Played | None:
        """What is already known of a conversation."""
        return self._known.get((side, model, seed))

    def add(self, played: Played) -> None:
        """Keep a result, in the file too."""
        self._keep(played)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{played.model_dump_json()}\n")

    def _keep(self, played: Played) -> None:
        self._known[played.side, played.model, played.seed] = played
