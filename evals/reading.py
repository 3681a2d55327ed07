"""Reads the results of an evaluation's folder, and leaves it as it is."""

from __future__ import annotations

from pathlib import Path

from evals.ledger import FILE
from evals.ledger import read as read_file
from evals.results import Result
from programs.errors import ConfigurationError


def read(folder: Path) -> list[Result]:
    """The results of a folder, one a cell; what was written last counts.

    Raises:
        ConfigurationError: it has none, or something else.
    """
    path = folder / FILE
    try:
        results, _ = read_file(path, Result, mend="name another folder")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: name the --out folder of a `rants eval`") from error
    if not results:
        raise ConfigurationError(f"{path} has no results yet: run the evaluation first")
    return [*{result.cell: result for result in results}.values()]
