"""Results as a file that a run is taken up from again: a line of JSON a result, written as soon as it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from programs.errors import ConfigurationError

FILE = "results.jsonl"


class Ledger[K: Hashable, T: BaseModel]:
    """The results of one folder, by key; of one key the last that was written counts.

    Args:
        folder: made if need be; the file in it is read, and added to. None keeps nothing.
        kind: of the results.
        key: what is measured once, of a result.
        name: of the file.

    Raises:
        ConfigurationError: the file cannot be read or written, or is something else.
    """

    def __init__(self, folder: Path | None, kind: type[T], key: Callable[[T], K], *, name: str = FILE) -> None:
        self._path = None if folder is None else folder / name
        self._key = key
        self._known: dict[K, T] = {}
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()
            results, whole = read(self._path, kind, mend="choose another --out")
            # A run that was killed may have left a part of a line.
            os.truncate(self._path, whole)
        except OSError as error:
            raise ConfigurationError(f"cannot use {self._path}: {error.strerror}") from error
        for result in results:
            self._known[key(result)] = result

    def __iter__(self) -> Iterator[T]:
        return iter(self._known.values())

    def find(self, key: K) -> T | None:
        """What is known of it."""
        return self._known.get(key)

    def add(self, result: T) -> None:
        """Keep a result, in the file too.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        if self._path is not None:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(f"{result.model_dump_json()}\n")
            except OSError as error:
                raise ConfigurationError(f"cannot write {self._path}: {error.strerror}") from error
        self._known[self._key(result)] = result


def read[T: BaseModel](path: Path, kind: type[T], *, mend: str) -> tuple[list[T], int]:
    """The results in a file, and how many bytes of it they are: what follows is a part of a line.

    Args:
        path: of the file.
        kind: of the results.
        mend: what to do where the file is something else.

    Raises:
        OSError: the file cannot be read.
        ConfigurationError: it is something else.
    """
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    results = []
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], 1):
        try:
            results.append(kind.model_validate_json(line))
        except ValidationError as error:
            raise ConfigurationError(f"{path}, line {number} is no result: {mend}") from error
    return results, whole
