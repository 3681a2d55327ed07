"""Prose of a file, as the sentences that a long text is made of."""

from __future__ import annotations

import re
from pathlib import Path

from programs.errors import ConfigurationError

_BETWEEN = re.compile(r"(?<=[.!?])\s+")


def read_prose(path: Path) -> list[str]:
    """The sentences of a text file in their order, each on one line.

    Raises:
        ConfigurationError: the file cannot be read, is no text, or has no sentence.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"data: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"data: {path} is no text in UTF-8: choose a text file") from error
    sentences = [" ".join(sentence.split()) for sentence in _BETWEEN.split(text.strip()) if sentence]
    if not sentences:
        raise ConfigurationError(f"data: {path} is empty: choose a file with prose")
    return sentences
