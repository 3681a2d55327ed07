"""What a session is called, and what it is found by."""

from __future__ import annotations

from programs.context import parted
from programs.transcript import Transcript

_LONGEST = 200  # characters
_READ = 4000  # characters: a message may have a hundred megabytes


def title(said: str) -> str:
    """The title of a session in which the user `said` this: what is asked in it, in one line of 200 characters at most.

    That is at the beginning or at the end of a long text.
    """
    ends = said if len(said) <= 2 * _READ else said[:_READ] + said[-_READ:]
    return " ".join(parted(ends)[0].split())[:_LONGEST].strip()


def question(transcript: Transcript) -> str:
    """What the user asked last, as a title; empty where no user has spoken."""
    return title(transcript.asked)


def sought(*names: str | None) -> str:
    """Texts by which something is found, whatever the case, each on a line of its own."""
    return "\n".join(" ".join(name.casefold().split()) for name in names if name)
