"""What a seed makes: conversations that can be had, whose answers are not in the questions."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from datetime import date
from typing import Any

import pytest

from evals.turns.conversation import count, day, place
from evals.turns.desk import TOOLS, Refused
from evals.turns.rules import MOST_LOANS, MOST_OWED, MOST_RENEWALS
from evals.turns.scenarios import make
from programs.schemas import problem

SCENARIOS = [make(seed) for seed in range(200)]


def test_a_seed_makes_one_conversation() -> None:
    assert make(3) == make(3) != make(4)
    assert len({tuple(message.text for message in scenario.messages) for scenario in SCENARIOS}) > 190


def test_what_is_right_leads_to_the_end_and_keeps_the_rules() -> None:
    schemas = {tool.name: tool.parameters for tool in TOOLS}
    for scenario in SCENARIOS:
        desk = deepcopy(scenario.begin)
        for right in (right for message in scenario.messages for right in message.calls):
            given = right.arguments
            assert problem(given, schemas[right.name]) is None
            if right.name in ("lend", "renew"):
                own = given.get("member_id") or desk.loans[given["loan_id"]].member
                assert desk.members[own].owes <= MOST_OWED
            if right.name == "lend":
                assert desk.titles[given["title_id"]].kind != "reference"
                assert sum(loan.member == own for loan in desk.loans.values()) < MOST_LOANS
            if right.name == "renew":
                assert desk.loans[given["loan_id"]].renewals < MOST_RENEWALS
                assert not desk.titles[desk.loans[given["loan_id"]].title].waiting
            if right.name == "move_copy":
                assert desk.titles[given["title_id"]].free[given["from_branch"]] > 1
            if right.name == "wait_for":
                assert not any(desk.titles[given["title_id"]].free.values())
            desk.call(right.name, given)
        assert desk.state() == scenario.end


def test_no_question_tells_what_must_be_answered() -> None:
    for scenario in SCENARIOS:
        assert 2 <= len(scenario.messages) <= 4
        for message in scenario.messages:
            assert message.facts
            assert not any(fact.is_in(message.text) for fact in message.facts)


def test_every_tool_is_right_somewhere_and_often_nothing_may_be_changed() -> None:
    used = Counter(right.name for scenario in SCENARIOS for message in scenario.messages for right in message.calls)
    assert set(used) == {tool.name for tool in TOOLS}
    reading = {"find_member", "find_titles", "show_title"}
    idle = [
        message
        for scenario in SCENARIOS
        for message in scenario.messages
        if {right.name for right in message.calls} <= reading
    ]
    assert len(idle) > 100


def test_a_tool_that_cannot_changes_nothing() -> None:
    desk = deepcopy(SCENARIOS[0].begin)
    before = desk.state()
    member, title = next(iter(desk.members)), next(one for one in desk.titles.values() if not any(one.free.values()))
    impossible: dict[str, dict[str, Any]] = {
        "find_member": {"name": "Nobody"},
        "lend": {"member_id": member, "title_id": title.id, "branch": "Hill"},
        "renew": {"loan_id": "L0"},
        "pay": {"member_id": member, "euros": 1000},
        "stop_waiting": {"member_id": "M0", "title_id": title.id},
        "move_copy": {"title_id": title.id, "from_branch": "Hill", "to_branch": "North"},
    }
    for name, arguments in impossible.items():
        with pytest.raises(Refused):
            desk.call(name, arguments)
    assert desk.state() == before


@pytest.mark.parametrize("said", ["2025-08-03", "until 3 August", "August 3rd, 2025", "3rd of august", "03 August"])
def test_a_day_is_said_in_many_ways(said: str) -> None:
    assert day(date(2025, 8, 3)).is_in(f"It is due {said}.")
    assert not day(date(2025, 8, 13)).is_in(f"It is due {said}.")


def test_numbers_are_whole_words() -> None:
    assert place(3).is_in("You are third.")
    assert place(2).is_in("You are the 2nd")
    assert count(0).is_in("There are no copies.")
    assert not count(1).is_in("10 of them")
    assert not count(4).is_in("2024-04-14")
