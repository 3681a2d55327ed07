"""The lending desk of a library, held in memory: what its tools read and change. They do not check its rules.

A tool that cannot do what it is asked says so as an error and changes nothing. Whether the rules are kept is for who
calls the tools to see: that is what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any, Literal

from programs.transcript import Tool

type Kind = Literal["book", "film", "reference"]

BRANCHES = ("North", "Harbour", "Hill")
_DAYS: Mapping[Kind, int] = {"book": 28, "film": 7, "reference": 28}
_RENEWED = 14  # days
_FEE_A_DAY = 1  # euro


class Refused(Exception):
    """The desk cannot do it; the message says why."""


@dataclass(slots=True)
class Title:
    """A work: how many copies of it are free at each branch, and the ids of members who wait for one, in order."""

    id: str
    name: str
    author: str
    kind: Kind
    pages: int
    free: dict[str, int]
    waiting: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """Who borrows. `owes` is in euros."""

    id: str
    name: str
    owes: int = 0


@dataclass(slots=True)
class Loan:
    """One copy that a member has."""

    id: str
    member: str
    title: str
    due: date
    renewals: int = 0


@dataclass(slots=True)
class Desk:
    """The whole state, and the tools."""

    today: date
    titles: dict[str, Title]
    members: dict[str, Member]
    loans: dict[str, Loan]
    lent: int = 0

    def state(self) -> dict[str, Any]:
        """All that counts in the end. A loan's id does not: it tells only in which order things were done."""
        return {
            "titles": [asdict(title) for title in self.titles.values()],
            "members": [asdict(member) for member in self.members.values()],
            "loans": sorted((loan.member, loan.title, loan.due, loan.renewals) for loan in self.loans.values()),
        }

    def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What a tool gives. The arguments fit its schema.

        Raises:
            Refused: it cannot do it.
        """
        tool: Callable[..., dict[str, Any]] = getattr(self, name)
        return tool(**arguments)

    def find_member(self, name: str) -> dict[str, Any]:
        """A tool: see `TOOLS`, as for all below."""
        for member in self.members.values():
            if member.name.casefold() == name.strip().casefold():
                loans = [
                    {
                        "loan_id": loan.id,
                        "title_id": loan.title,
                        "name": self.titles[loan.title].name,
                        "due": loan.due.isoformat(),
                        "renewals": loan.renewals,
                    }
                    for loan in self.loans.values()
                    if loan.member == member.id
                ]
                waits = [title.id for title in self.titles.values() if member.id in title.waiting]
                return {"member_id": member.id, "owes": member.owes, "loans": loans, "waits_for": waits}
        raise Refused(f"no member is called {name!r}")

    def find_titles(self, words: str) -> dict[str, Any]:
        """A tool."""
        wanted = words.casefold().strip()
        found = [
            {"title_id": one.id, "name": one.name, "author": one.author, "kind": one.kind, "pages": one.pages}
            for one in self.titles.values()
            if wanted in f"{one.name} / {one.author}".casefold()
        ]
        return {"titles": found}

    def show_title(self, title_id: str) -> dict[str, Any]:
        """A tool."""
        title = self._title(title_id)
        return {"name": title.name, "kind": title.kind, "free_copies": dict(title.free), "waiting": len(title.waiting)}

    def lend(self, member_id: str, title_id: str, branch: str) -> dict[str, Any]:
        """A tool."""
        member, title = self._member(member_id), self._title(title_id)
        self._take(title, branch)
        self.lent += 1
        due = self.today + timedelta(days=_DAYS[title.kind])
        loan = Loan(f"L{500 + self.lent}", member.id, title.id, due)
        self.loans[loan.id] = loan
        return {"loan_id": loan.id, "due": due.isoformat()}

    def renew(self, loan_id: str) -> dict[str, Any]:
        """A tool."""
        loan = self._loan(loan_id)
        loan.due = self.today + timedelta(days=_RENEWED)
        loan.renewals += 1
        return {"due": loan.due.isoformat(), "renewals": loan.renewals}

    def take_back(self, loan_id: str, branch: str) -> dict[str, Any]:
        """A tool."""
        loan = self._loan(loan_id)
        member = self.members[loan.member]
        late = max(0, (self.today - loan.due).days)
        del self.loans[loan_id]
        self.titles[loan.title].free[branch] += 1
        member.owes += late * _FEE_A_DAY
        return {"days_late": late, "fee": late * _FEE_A_DAY, "owes": member.owes}

    def pay(self, member_id: str, euros: int) -> dict[str, Any]:
        """A tool."""
        member = self._member(member_id)
        if euros > member.owes:
            raise Refused(f"{member.name} owes only {member.owes}")
        member.owes -= euros
        return {"owes": member.owes}

    def wait_for(self, member_id: str, title_id: str) -> dict[str, Any]:
        """A tool."""
        member, title = self._member(member_id), self._title(title_id)
        if member.id in title.waiting:
            raise Refused(f"{member.name} waits for it already")
        title.waiting.append(member.id)
        return {"place": len(title.waiting)}

    def stop_waiting(self, member_id: str, title_id: str) -> dict[str, Any]:
        """A tool."""
        member, title = self._member(member_id), self._title(title_id)
        if member.id not in title.waiting:
            raise Refused(f"{member.name} does not wait for it")
        title.waiting.remove(member.id)
        return {"still_waiting": len(title.waiting)}

    def move_copy(self, title_id: str, from_branch: str, to_branch: str) -> dict[str, Any]:
        """A tool."""
        title = self._title(title_id)
        if from_branch == to_branch:
            raise Refused("it is there already")
        self._take(title, from_branch)
        title.free[to_branch] += 1
        return {"free_copies": dict(title.free)}

    def _take(self, title: Title, branch: str) -> None:
        if title.free[branch] == 0:
            raise Refused(f"no copy of {title.name!r} is free at {branch}")
        title.free[branch] -= 1

    def _title(self, title_id: str) -> Title:
        return _known(self.titles, title_id, "title")

    def _member(self, member_id: str) -> Member:
        return _known(self.members, member_id, "member")

    def _loan(self, loan_id: str) -> Loan:
        return _known(self.loans, loan_id, "loan")


def _known[T](things: Mapping[str, T], own: str, kind: str) -> T:
    if own not in things:
        raise Refused(f"there is no {kind} {own!r}")
    return things[own]


_TEXT = {"type": "string"}
_BRANCH = {"type": "string", "enum": list(BRANCHES)}
_EUROS = {"type": "integer", "minimum": 1, "description": "whole euros"}


def _tool(name: str, description: str, /, **properties: Mapping[str, Any]) -> Tool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return Tool(name=name, description=description, parameters=schema)


TOOLS = (
    _tool("find_member", "Look up a member by full name: id, euros owed, loans, titles waited for.", name=_TEXT),
    _tool("find_titles", "Look up titles by words of the name, or by the author: ids, kinds, pages.", words=_TEXT),
    _tool("show_title", "How many copies of a title are free at each branch, how many wait for it.", title_id=_TEXT),
    _tool(
        "lend",
        "Lend a member a free copy at a branch; says when it is due.",
        member_id=_TEXT,
        title_id=_TEXT,
        branch=_BRANCH,
    ),
    _tool("renew", "Renew a loan; says when it is due then.", loan_id=_TEXT),
    _tool("take_back", "End a loan at a branch; says the fee, and all that is owed.", loan_id=_TEXT, branch=_BRANCH),
    _tool("pay", "Take money that a member owes.", member_id=_TEXT, euros=_EUROS),
    _tool("wait_for", "Put a member on the waiting list of a title; says the place.", member_id=_TEXT, title_id=_TEXT),
    _tool("stop_waiting", "Take a member off the waiting list of a title.", member_id=_TEXT, title_id=_TEXT),
    _tool(
        "move_copy",
        "Move a free copy of a title to another branch.",
        title_id=_TEXT,
        from_branch=_BRANCH,
        to_branch=_BRANCH,
    ),
)
"""What a model is offered."""
