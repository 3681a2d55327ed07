"""Texts of any length, as pages show them: cut where they are long, coloured where they are code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.python import PythonLexer

from programs.readable import readable

LONGEST: Final = 20_000  # characters that are shown of a text
_LONGEST_CODE = 50_000  # characters that are coloured
_PYTHON = PythonLexer(stripnl=False, ensurenl=False)
_HTML = HtmlFormatter(nowrap=True)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is shown of a text.

    Attributes:
        begin: all of it, or its beginning.
        left_out: how many characters are missing after that.
        end: what follows them.
    """

    begin: str
    left_out: int = 0
    end: str = ""


def excerpt(text: str, longest: int = LONGEST) -> Excerpt:
    """The text, or where it is longer than `longest` characters its beginning and its end."""
    if len(text) <= longest:
        return Excerpt(text)
    half = longest // 2
    return Excerpt(text[:half], len(text) - 2 * half, text[-half:])


def coloured(code: str) -> str:
    """Python with its colours, as classes that static/code.css knows. What is very long is left as it is."""
    if len(code) > _LONGEST_CODE:
        return code
    return Markup(highlight(readable(code), _PYTHON, _HTML))  # noqa: S704  (Pygments escapes what it is given)


def pretty(text: str) -> str:
    """JSON over several lines; what is none is left as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
