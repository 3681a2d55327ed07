"""The folder of an evaluation: its settings, its results and its traces. Only what is alike goes into one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.ledger import Ledger
from evals.measuring import Measured, Setup, slug
from evals.results import Cell, Result
from programs.errors import ConfigurationError
from programs.settings import ModelSettings, ModelsSettings

_FILE = "settings.json"
_TRACES = Path("traces")


class Folder:
    """Opens it, or makes it.

    Args:
        path: of the folder.
        setup: of the evaluation. Models that the folder does not know are added to its settings.

    Raises:
        ConfigurationError: the folder has results of another setup, or cannot be used.
    """

    def __init__(self, path: Path, setup: Setup) -> None:
        self.path = path
        self._results = Ledger(path, Result, lambda result: result.cell)
        self._asked = {
            (result.cell.tokens, result.cell.seed): (result.question, result.answer) for result in self._results
        }
        try:
            (path / _TRACES).mkdir(exist_ok=True)
            _settle(path / _FILE, setup)
        except OSError as error:
            raise ConfigurationError(f"cannot use {path}: {error.strerror}") from error

    def find(self, cell: Cell) -> Result | None:
        """What is known of a cell."""
        return self._results.find(cell)

    def add(self, measured: Measured) -> Result:
        """Keep what was measured, and its trace.

        Raises:
            ConfigurationError: its task is not that of the results that are there; or a file cannot be written.
        """
        result = measured.result
        cell, asked = result.cell, (result.question, result.answer)
        if self._asked.setdefault((cell.tokens, cell.seed), asked) != asked:
            raise ConfigurationError(
                f"seed {cell.seed} at {cell.tokens:,} tokens is another task than that of the results in {self.path}: "
                "the question data, Python or RANTS has changed; choose another --out"
            )
        if measured.trace:
            trace = _TRACES / f"{slug(cell)}.txt"
            try:
                (self.path / trace).write_text(measured.trace, "utf-8", errors="backslashreplace")
            except OSError as error:
                raise ConfigurationError(f"cannot write {self.path / trace}: {error.strerror}") from error
            result = result.model_copy(update={"trace": trace})
        self._results.add(result)
        return result


def _settle(path: Path, setup: Setup) -> None:
    """Compare the settings with those that are there, and write them."""
    ours = _told(setup)
    if path.exists():
        try:
            theirs = json.loads(path.read_text("utf-8"))
            known = dict(theirs["models"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is not what an evaluation has written: choose another --out") from error
        # Models that are new are no difference.
        ours["models"] = {**known, **ours["models"]}
        if differences := [*_differences({**theirs, "models": {**ours["models"], **known}}, ours)]:
            raise ConfigurationError(
                f"the results in {path.parent} were measured otherwise: {'; '.join(differences)}. Choose another "
                "--out, or measure as there"
            )
    path.write_text(json.dumps(ours, indent=2) + "\n", "utf-8")


def _told(setup: Setup) -> dict[str, Any]:
    """What makes results comparable, without secrets."""
    return {
        "benchmark": setup.benchmark,
        "data": None if setup.data is None else str(setup.data),
        "models": {name: _roles(models) for name, models in setup.models.items()},
        "budget": setup.budget.model_dump(),
    }


def _roles(models: ModelsSettings) -> dict[str, Any]:
    return {role: _entry(entry) for role in type(models).model_fields if (entry := getattr(models, role)) is not None}


def _entry(entry: ModelSettings) -> dict[str, Any]:
    told = {
        "provider": entry.provider,
        "model": entry.model,
        "where": entry.where,
        "capabilities": sorted(entry.capabilities),
        "context_window": entry.context_window,
        "parameters": entry.parameters,
    }
    return {**told, "fallbacks": [_entry(one) for one in entry.fallbacks]} if entry.fallbacks else told


def _differences(theirs: Any, ours: Any, name: str = "") -> Iterator[str]:
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in sorted({*theirs, *ours}):
            yield from _differences(theirs.get(key), ours.get(key), f"{name}.{key}" if name else key)
    elif theirs != ours:
        yield f"{name} {json.dumps(theirs)}, not {json.dumps(ours)}"
