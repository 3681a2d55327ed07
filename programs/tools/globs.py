"""Patterns for paths: globs, and the rules of a `.gitignore`. Matching takes time in proportion to what is matched."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_ALTERNATIVES = 256

type _Segment = re.Pattern[str] | None
"""What one name must look like; None is `**`, any number of names."""


class Glob:
    """A pattern with `*`, `?`, `[...]`, `{a,b}` and `**`.

    Without a slash it is about a file's name, in whatever folder; else about the whole path, from its first name on.

    Raises:
        ValueError: its braces stand for too many patterns.
    """

    def __init__(self, pattern: str) -> None:
        deep = "" if "/" in pattern.strip("/") else "**/"
        self._alternatives = [_segments(deep + one) for one in _braces(pattern.removeprefix("./"))]

    def matches(self, path: str) -> bool:
        """Whether the pattern is that of `path`, relative, with slashes."""
        names = path.split("/")
        return any(_fits(segments, names) for segments in self._alternatives)


@dataclass(frozen=True, slots=True)
class _Rule:
    segments: list[_Segment]
    keeps: bool
    folders_only: bool


class Ignored:
    """What the `.gitignore` in a folder leaves out.

    Args:
        text: of the `.gitignore`.
        base: the folder it lies in, relative to where paths start; empty for that place itself.
    """

    def __init__(self, text: str, base: str = "") -> None:
        self._depth = len(base.split("/")) if base else 0
        self._rules = [rule for line in text.splitlines() if (rule := _rule(line)) is not None]

    def says(self, names: Sequence[str], *, folder: bool) -> bool | None:
        """Whether what `names` lead to is left out; None where no rule is about it. The last rule wins."""
        below = names[self._depth :]
        for rule in reversed(self._rules):
            if (folder or not rule.folders_only) and _fits(rule.segments, below):
                return not rule.keeps
        return None


def is_ignored(rules: Sequence[Ignored], names: Sequence[str], *, folder: bool) -> bool:
    """What `rules`, of the outermost folder first, say together; an inner one beats an outer one."""
    for ignored in reversed(rules):
        if (answer := ignored.says(names, folder=folder)) is not None:
            return answer
    return False


def _rule(line: str) -> _Rule | None:
    bare = line.rstrip(" \t")
    line = bare + line[len(bare) : len(bare) + 1] if bare.endswith("\\") else bare
    if not line or line.startswith("#"):
        return None
    keeps = line.startswith("!")
    line = line[keeps:]
    folders_only = line.endswith("/")
    line = line.rstrip("/")
    anchored = "/" in line
    return _Rule(_segments(("" if anchored else "**/") + line.lstrip("/")), keeps, folders_only)


def _segments(pattern: str) -> list[_Segment]:
    segments: list[_Segment] = []
    for name in pattern.strip("/").split("/"):
        if name != "**":
            # A backslash takes what follows as it is; fnmatch knows brackets alone for that.
            literal = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], name)
            segments.append(re.compile(fnmatch.translate(literal.replace("[^", "[!"))))
        elif not segments or segments[-1] is not None:
            segments.append(None)
    return segments


def _fits(segments: Sequence[_Segment], names: Sequence[str]) -> bool:
    """Whether the names are what the segments say, all of them. `a/**` needs something within `a`."""
    if len(segments) == 2 and segments[0] is None and segments[1] is not None:
        return bool(names) and segments[1].match(names[-1]) is not None  # the usual rule, quickly
    ends = {0}  # how many names the segments so far can have used
    for index, segment in enumerate(segments):
        if segment is None:
            least = min(ends) + (index == len(segments) - 1 and index > 0)
            ends = set(range(least, len(names) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(names) and segment.match(names[end])}
        if not ends:
            return False
    return len(names) in ends


def _braces(pattern: str) -> list[str]:
    """The patterns that one with `{a,b}` stands for."""
    patterns = [pattern]
    done: list[str] = []
    while patterns:
        one = patterns.pop()
        innermost = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if innermost is None:
            done.append(one)
        else:
            before, after = one[: innermost.start()], one[innermost.end() :]
            patterns += [before + choice + after for choice in innermost[1].split(",")]
        if len(done) + len(patterns) > _MOST_ALTERNATIVES:
            raise ValueError(f"the braces of the pattern stand for more than {_MOST_ALTERNATIVES} patterns")
    return done
