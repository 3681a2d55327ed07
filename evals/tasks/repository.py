"""The Python files of a repository, and a choice of them as one long text."""

from __future__ import annotations

import ast
import random
import sysconfig
import tokenize
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from evals.tasks.needle import CHARACTERS_PER_TOKEN
from programs.errors import ConfigurationError

_LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "__pycache__"}
_FULL = 0.9  # a context that is shorter than this share of what is asked for would be told as longer than it is


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        path: below the repository, with slashes.
        text: what is in it.
    """

    path: str
    text: str

    def __str__(self) -> str:
        return f"# file: {self.path}\n{self.text}\n"

    @cached_property
    def tree(self) -> ast.Module | None:
        """Its syntax; None where it is not of this Python's."""
        try:
            with warnings.catch_warnings(action="ignore"):
                return ast.parse(self.text)
        except SyntaxError:
            return None


def standard_library() -> Path:
    """The folder of Python's own modules."""
    return Path(sysconfig.get_path("stdlib"))


@lru_cache(maxsize=1)
def read_repository(folder: Path) -> tuple[Source, ...]:
    """All Python files with something in them, by path: no tests, nothing installed or hidden, no text that is none.

    Raises:
        ConfigurationError: there are none.
    """
    sources = []
    for path in sorted(folder.rglob("*.py")):
        own = path.relative_to(folder)
        if any(part in _LEFT_OUT or part.startswith(".") for part in own.parts):
            continue
        try:
            with tokenize.open(path) as file:
                text = file.read()
        except (SyntaxError, UnicodeDecodeError):  # the first is for a coding that does not exist
            continue
        if text.strip():
            sources.append(Source(own.as_posix(), text))
    if not sources:
        raise ConfigurationError(f"data: there is no Python file in {folder}: choose the folder of a repository")
    return tuple(sources)


def chosen(dice: random.Random, sources: Sequence[Source], tokens: int) -> list[Source]:
    """Some files in any order, as many as fit into so many tokens, at four characters each.

    Raises:
        ConfigurationError: there is not so much, or no file is as small.
    """
    left = wanted = tokens * CHARACTERS_PER_TOKEN
    found = []
    for source in dice.sample(sources, len(sources)):
        if (size := len(str(source))) <= left:
            found.append(replace(source))  # of its own, so that the syntax of all files is not kept for ever
            left -= size
    if wanted - left < _FULL * wanted:
        whole = sum(len(str(source)) for source in sources) // CHARACTERS_PER_TOKEN
        raise ConfigurationError(
            f"tokens: no files fill {tokens:,}; the repository has {whole:,}: ask for another length, or give a larger "
            "one as data"
        )
    return found


def text_of(sources: Iterable[Source]) -> str:
    """The files as one text, each after a line that names it."""
    return "".join(map(str, sources))
