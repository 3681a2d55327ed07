"""A library to begin with, made up from a seed."""

from __future__ import annotations

import random
from datetime import date, timedelta

from evals.turns.desk import BRANCHES, Desk, Kind, Loan, Member, Title

_FIRST = ("Ada", "Bruno", "Carla", "Dario", "Elin", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaya", "Lena")
_LAST = ("Abel", "Brandt", "Castell", "Dorn", "Ekman", "Falk", "Gruber", "Holm", "Iversen", "Jansen", "Keller", "Lund")
_KINDS_OF_THINGS = ("Amber", "Broken", "Crooked", "Distant", "Empty", "Frozen", "Golden", "Hollow", "Iron", "Lonely")
_THINGS = ("Bridge", "Clock", "Door", "Ferry", "Garden", "Island", "Ladder", "Mirror", "Orchard", "River")
_AUTHORS, _MEMBERS, _TITLES, _LOANS = 5, 6, 16, 4
_KINDS: tuple[Kind, ...] = ("book", "book", "book", "film", "reference")


def library(dice: random.Random) -> Desk:
    """Titles, some of which are all lent out; members, some of whom owe money, wait, or have loans."""
    today = date(2025, 1, 6) + timedelta(days=dice.randrange(300))
    people = dice.sample([f"{first} {last}" for first in _FIRST for last in _LAST], _AUTHORS + _MEMBERS)
    authors, names = people[:_AUTHORS], people[_AUTHORS:]
    members = {
        f"M{number}": Member(f"M{number}", name, owes=dice.choice((0, 0, dice.randint(11, 39))))
        for number, name in zip(dice.sample(range(100, 1000), _MEMBERS), names, strict=True)
    }
    titles = {}
    works = dice.sample([f"The {kind} {thing}" for kind in _KINDS_OF_THINGS for thing in _THINGS], _TITLES)
    numbers = dice.sample(range(100, 1000), _TITLES)
    pages = dice.sample(range(60, 900), _TITLES)
    for number, work, length in zip(numbers, works, pages, strict=True):
        kind = dice.choice(_KINDS)
        all_out = dice.random() < 0.3
        free = {branch: 0 if all_out else dice.choice((0, 1, 2, 3)) for branch in BRANCHES}
        waiting = dice.sample(sorted(members), dice.randint(1, 4)) if all_out else []
        titles[f"T{number}"] = Title(f"T{number}", work, dice.choice(authors), kind, length, free, waiting)
    desk = Desk(today, titles, members, {})
    for member in members.values():
        lendable = [title for title in titles.values() if title.kind != "reference" and member.id not in title.waiting]
        # No two are due on the same day, and who is late is late by a number of days that nothing else is.
        days = dice.sample([*range(-25, -10), *range(2, 28)], _LOANS)
        for title, day in zip(dice.sample(lendable, dice.randint(2, _LOANS)), days, strict=False):
            own = f"L{100 + len(desk.loans)}"
            desk.loans[own] = Loan(own, member.id, title.id, today + timedelta(days=day), dice.choice((0, 0, 1, 2)))
    return desk
