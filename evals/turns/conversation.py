"""What a conversation with the desk is: what is said, what is right to call, what must be answered, how it must end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from evals.turns.desk import Desk

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}


@dataclass(frozen=True, slots=True)
class Right:
    """A call that is right."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that an answer must say, in any of these spellings."""

    spellings: tuple[str, ...]

    def is_in(self, text: str) -> bool:
        """Whether a text has one of them, as whole words and whatever the case."""
        return any(re.search(rf"(?<!\w){re.escape(one)}(?!\w)", text, re.IGNORECASE) for one in self.spellings)

    def __str__(self) -> str:
        return self.spellings[0]


def day(due: date) -> Fact:
    """A date, as it was asked for or as people write it."""
    month, number = f"{due:%B}", due.day
    suffix = "th" if 10 < number < 20 else _SUFFIXES.get(number % 10, "th")
    said = [f"{number:02} {month}", f"{number} {month}", f"{number}{suffix} of {month}", f"{number}{suffix} {month}"]
    said += [f"{month} {number}", f"{month} {number:02}", f"{month} {number}{suffix}"]
    return Fact((due.isoformat(), *said))


def count(number: int) -> Fact:
    """How many there are."""
    return Fact((str(number), _NUMBERS[number], *(("none",) if number == 0 else ())))


def place(number: int) -> Fact:
    """A place in a line."""
    word = _ORDINALS[number - 1]
    return Fact((str(number), f"{number}{_SUFFIXES.get(number, 'th')}", word))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the member.

    Attributes:
        text: what is said.
        calls: that are right, in order; a look-up that tells a reader less than it costs is not among them.
        facts: that the answer must tell.
    """

    text: str
    calls: tuple[Right, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole conversation.

    Attributes:
        seed: that made it.
        system: the rules.
        begin: the desk before it; to be copied.
        end: the desk's state when all was done that was right, and nothing else.
        messages: of the member.
    """

    seed: int
    system: str
    begin: Desk
    end: dict[str, Any]
    messages: tuple[Message, ...]
