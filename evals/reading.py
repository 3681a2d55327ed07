"""Reads the results of a folder."""

from __future__ import annotations

from pathlib import Path

from evals import ledger
from evals.results import Cell, Result
from programs.errors import ConfigurationError


def read(folder: Path) -> list[Result]:
    """The results of a folder, one a cell; what was written last counts.

    Raises:
        ConfigurationError: it has none, or something else.
    """
    path = folder / ledger.FILE
    try:
        # A run that is under way may have written a part of a line.
        results, _ = ledger.read(path, Result, mend="name another folder")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: name the --out folder of a `rants eval`") from error
    found: dict[Cell, Result] = {result.cell: result for result in results}
    if not found:
        raise ConfigurationError(f"{path} has no results yet: run the evaluation first")
    return list(found.values())
