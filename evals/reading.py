"""Reads the results of a folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from evals.results import Cell, Result
from programs.errors import ConfigurationError


def read(folder: Path) -> list[Result]:
    """The results of a folder, one a cell; what was written last counts.

    Raises:
        ConfigurationError: it has none, or something else.
    """
    path = folder / "results.jsonl"
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: name the --out folder of a `rants eval`") from error
    found: dict[Cell, Result] = {}
    # A run that is under way may have written a part of a line.
    for number, line in enumerate(text[: text.rfind("\n") + 1].split("\n")[:-1], 1):
        try:
            result = Result.model_validate_json(line)
        except ValidationError as error:
            raise ConfigurationError(f"{path}, line {number} is no result: name another folder") from error
        found[result.cell] = result
    if not found:
        raise ConfigurationError(f"{path} has no results yet: run the evaluation first")
    return list(found.values())
