"""Conversations of a member with the desk, made from a seed: each message is written with the desk as it is by then."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date
from typing import Any

from evals.turns.conversation import Fact, Message, Right, Scenario, count, day, place
from evals.turns.desk import BRANCHES, Desk, Loan, Title
from evals.turns.rules import MOST_LOANS, SYSTEM, against_lending, against_renewing
from evals.turns.world import library

_MESSAGES = (2, 4)


def make(seed: int) -> Scenario:
    """The conversation of a seed, in two to four messages. The same seed makes the same one."""
    dice = random.Random(f"turns {seed}")
    begin = library(dice)
    telling = _Telling(dice, deepcopy(begin))
    wanted = dice.randint(*_MESSAGES)
    while len(telling.messages) < wanted:
        # What goes on from the message before comes first, where there is something to go on from.
        parts = [*_LATER, *dice.sample(_PARTS, len(_PARTS))]
        if not any(part(telling) for part in parts):
            break
    return Scenario(
        seed=seed,
        system=SYSTEM.format(today=begin.today.isoformat()),
        begin=begin,
        end=telling.desk.state(),
        messages=tuple(telling.messages),
    )


class _Telling:
    """A conversation that is being written.

    Attributes:
        dice: of the seed.
        desk: as it stands by now.
        member: who speaks.
        messages: so far.
        denied: what was not lent at which branch, because money is owed, in the message before.
        awaited: what the member was put on a list for in the message before.
    """

    def __init__(self, dice: random.Random, desk: Desk) -> None:
        self.dice = dice
        self.desk = desk
        self.member = dice.choice(list(desk.members.values()))
        self.messages: list[Message] = []
        self.denied: tuple[Title, str] | None = None
        self.awaited: Title | None = None
        self._calls: list[Right] = []
        self._spoken_of: set[str] = set()
        self.call("find_member", name=self.member.name)

    @property
    def loans(self) -> list[Loan]:
        """The member's, by the day they are due."""
        own = [loan for loan in self.desk.loans.values() if loan.member == self.member.id]
        return sorted(own, key=lambda loan: loan.due)

    def titles(self) -> Iterator[Title]:
        """What was not spoken of and the member neither has nor waits for, in any order."""
        own = {loan.title for loan in self.loans} | self._spoken_of
        known = [
            title for title in self.desk.titles.values() if title.id not in own and self.member.id not in title.waiting
        ]
        return iter(self.dice.sample(known, len(known)))

    def knows(self, title: Title) -> bool:
        """Whether it was spoken of."""
        return title.id in self._spoken_of

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """Do what is right to do next."""
        self._calls.append(Right(name, arguments))
        return self.desk.call(name, arguments)

    def say(self, text: str, *facts: Fact, about: Title) -> bool:
        """End a message, which the calls since the last one belong to."""
        greeting = "" if self.messages else f"Hello, this is {self.member.name}. "
        self.messages.append(Message(greeting + text, tuple(self._calls), facts))
        self._calls = []
        self._spoken_of.add(about.id)
        self.denied = self.awaited = None
        return True


type _Part = Callable[[_Telling], bool]
"""Adds a message, if it can."""


def _borrow(telling: _Telling) -> bool:
    """Something that is free is lent, or a rule forbids it."""
    for title in telling.titles():
        reasons = against_lending(telling.desk, telling.member, title)
        free = [branch for branch, copies in title.free.items() if copies]
        if not free or len(reasons) > 1:
            continue
        branch = telling.dice.choice(free)
        text = (
            f'I would like to borrow "{title.name}" from the {branch} branch. When must it be back? If you may not '
            "lend it to me, tell me exactly why, with the number if there is one."
        )
        telling.call("find_titles", words=title.name)
        if not reasons:
            return telling.say(text, day(_lend(telling, title, branch)), about=title)
        facts = {
            "owes": Fact((str(telling.member.owes),)),
            "reference": Fact(("reference",)),
            "loans": count(MOST_LOANS),
        }
        telling.say(text, facts[reasons[0]], about=title)
        telling.denied = (title, branch) if reasons == ["owes"] else None
        return True
    return False


def _pay_and_borrow(telling: _Telling) -> bool:
    """What was denied before is lent after all."""
    if telling.denied is None:
        return False
    title, branch = telling.denied
    telling.call("pay", member_id=telling.member.id, euros=telling.member.owes)
    text = "Then I pay all that I owe right now, here is the money. Lend it to me after that: when must it be back?"
    return telling.say(text, day(_lend(telling, title, branch)), about=title)


def _borrow_shortest(telling: _Telling) -> bool:
    """Of one author's books, the one with the fewest pages."""
    for title in telling.titles():
        books = [one for one in telling.desk.titles.values() if one.author == title.author and one.kind == "book"]
        if len(books) < 2 or min(books, key=lambda one: one.pages) is not title:
            continue
        free = [branch for branch, copies in title.free.items() if copies]
        if not free or against_lending(telling.desk, telling.member, title):
            continue
        branch = telling.dice.choice(free)
        telling.call("find_titles", words=title.author)
        text = (
            f"Which book by {title.author} has the fewest pages? No film and no reference work, please. Lend it to me "
            f"at the {branch} branch, and tell me its name and when it is due."
        )
        return telling.say(text, Fact((title.name,)), day(_lend(telling, title, branch)), about=title)
    return False


def _renew(telling: _Telling) -> bool:
    """The loan that is due first is renewed, or a rule forbids it."""
    first = [loan for loan in telling.loans if loan.due == telling.loans[0].due]
    if len(first) != 1 or telling.knows(title := telling.desk.titles[first[0].title]):
        return False
    (loan,) = first
    reasons = against_renewing(telling.desk, loan)
    text = (
        "Please renew the one of my loans that is due first. Which is it, and when is it due after that? If it cannot "
        "be renewed, name it all the same, and tell me why."
    )
    telling.call("show_title", title_id=title.id)
    facts = [Fact((title.name,))]
    if not reasons:
        telling.call("renew", loan_id=loan.id)
        facts.append(day(loan.due))
    return telling.say(text, *facts, about=title)


def _bring_back(telling: _Telling) -> bool:
    """A loan ends, and may cost something."""
    late = [loan for loan in telling.loans if loan.due < telling.desk.today]
    if not late:
        return False
    loan = telling.dice.choice(late)
    title = telling.desk.titles[loan.title]
    branch = telling.dice.choice(BRANCHES)
    owes = telling.call("take_back", loan_id=loan.id, branch=branch)["owes"]
    text = f'I bring back "{title.name}", here at the {branch} branch. How much do I owe in all by now?'
    return telling.say(text, Fact((str(owes),)), about=title)


def _wait(telling: _Telling) -> bool:
    """The member is put on a list, or learns where a copy is."""
    for title in telling.titles():
        free = [branch for branch, copies in title.free.items() if copies]
        if title.kind == "reference" or len(free) > 1:
            continue
        telling.call("find_titles", words=title.name)
        telling.call("show_title", title_id=title.id)
        text = (
            f'Is a copy of "{title.name}" free at any branch? If so, just tell me where, I shall fetch it myself. If '
            "not, put me on its waiting list and tell me my place."
        )
        if free:
            return telling.say(text, Fact((free[0],)), about=title)
        number = telling.call("wait_for", member_id=telling.member.id, title_id=title.id)["place"]
        telling.say(text, place(number), about=title)
        telling.awaited = title
        return True
    return False


def _stop_waiting(telling: _Telling) -> bool:
    """The member does not want it any more."""
    if (title := telling.awaited) is None:
        return False
    left = telling.call("stop_waiting", member_id=telling.member.id, title_id=title.id)["still_waiting"]
    text = "That is too long for me: take me off that list again. How many are still waiting without me?"
    return telling.say(text, count(left), about=title)


def _move(telling: _Telling) -> bool:
    """A copy goes to another branch, or has to stay as the last one."""
    for title in telling.titles():
        free = [branch for branch, copies in title.free.items() if copies]
        if not free:
            continue
        here = telling.dice.choice(free)
        there = telling.dice.choice([branch for branch in BRANCHES if branch != here])
        telling.call("find_titles", words=title.name)
        telling.call("show_title", title_id=title.id)
        if title.free[here] > 1:
            telling.call("move_copy", title_id=title.id, from_branch=here, to_branch=there)
        text = (
            f'Our reading circle would like to have a copy of "{title.name}" moved from {here} to {there}, if that may '
            f"be. Either way, how many are free at {there} after that?"
        )
        return telling.say(text, count(title.free[there]), about=title)
    return False


_LATER: tuple[_Part, ...] = (_pay_and_borrow, _stop_waiting)
_PARTS: tuple[_Part, ...] = (_borrow, _borrow_shortest, _renew, _bring_back, _wait, _move)


def _lend(telling: _Telling, title: Title, branch: str) -> date:
    """Lend it; gives when it is due."""
    loan = telling.call("lend", member_id=telling.member.id, title_id=title.id, branch=branch)
    return telling.desk.loans[loan["loan_id"]].due
