"""What the desk's rules forbid, for who knows the whole state; and the rules in words, for who must keep them."""

from __future__ import annotations

from evals.turns.desk import Desk, Loan, Member, Title

MOST_OWED = 10  # euros
MOST_LOANS = 4
MOST_RENEWALS = 2

SYSTEM = f"""You work at the lending desk of a library with the branches North, Harbour and Hill. Today is {{today}}.
Do what the member asks, with the tools and by the rules. The tools do not check the rules: you do.
- Who owes more than {MOST_OWED} euros is lent nothing, and has nothing renewed, before all of it is paid.
- Reference works are never lent.
- Nobody has more than {MOST_LOANS} loans at a time.
- A loan is renewed at most {MOST_RENEWALS} times, and not while somebody waits for its title.
- The last free copy of a title at a branch is not moved to another branch.
- A member is put on a waiting list only where no copy of the title is free at any branch.
Where a rule forbids something, do not do it, and say which one. Do nothing that was not asked for, and ask nothing
back. Answer briefly, with every name, number and date that was asked for; dates as 2025-01-31, numbers in digits."""


def against_lending(desk: Desk, member: Member, title: Title) -> list[str]:
    """The rules that forbid it: `owes`, `reference`, `loans`."""
    count = sum(loan.member == member.id for loan in desk.loans.values())
    broken = {
        "owes": member.owes > MOST_OWED,
        "reference": title.kind == "reference",
        "loans": count >= MOST_LOANS,
    }
    return [name for name, is_so in broken.items() if is_so]


def against_renewing(desk: Desk, loan: Loan) -> list[str]:
    """The rules that forbid it: `owes`, `renewals`, `waiting`."""
    broken = {
        "owes": desk.members[loan.member].owes > MOST_OWED,
        "renewals": loan.renewals >= MOST_RENEWALS,
        "waiting": bool(desk.titles[loan.title].waiting),
    }
    return [name for name, is_so in broken.items() if is_so]
