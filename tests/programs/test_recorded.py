"""What an earlier attempt has recorded answers, once each, what a resumed run would ask again."""

from __future__ import annotations

import pytest

from programs import Usage
from programs.budget import Spent
from programs.events import CodeRan, CodeWritten, Concluded, ModelCalled, SessionOpened, Trajectory
from programs.recorded import Recorded

COST = Usage(prompt=10, completion=2, cached=4)


def opened(session: str = "s", at: float = 100.0) -> SessionOpened:
    return SessionOpened(session, 0, "Who?", "a text", at)


def written(turn: int, session: str = "s", at: float = 101.0) -> CodeWritten:
    return CodeWritten(session, turn, "budget", "words", f"code {turn}", False, COST, at, 1.0)


def called(prompt: str, reply: str | None, session: str = "s", turn: int = 1, at: float = 102.0) -> ModelCalled:
    usage = COST if reply is not None else Usage()
    return ModelCalled(session, turn, prompt, reply, None if reply is not None else "it failed", usage, at, 0.5)


def ran(turn: int, session: str = "s", at: float = 103.0) -> CodeRan:
    return CodeRan(session, turn, f"printed {turn}", None, False, at, 2.0)


def concluded(session: str = "s", at: float = 105.0) -> Concluded:
    return Concluded(session, "the best", "budget_iterations", COST, at, 1.0)


def test_nothing_is_known_where_nothing_was_recorded() -> None:
    record = Recorded()
    assert not record.opened("s")
    assert (record.written("s", 1), record.ran("s", 1), record.concluded("s")) == (None, None, None)
    assert record.called("s", 1, "p") is None
    assert record.spent == Spent()


def test_events_are_found_by_session_and_turn() -> None:
    events: list[Trajectory] = [
        opened(),
        written(1),
        ran(1),
        written(2),
        opened("s/1.c"),
        written(1, "s/1.c"),
        concluded(),
    ]
    record = Recorded(events)
    assert record.opened("s")
    assert record.opened("s/1.c")
    assert not record.opened("s/1")
    assert [record.written("s", turn) for turn in (1, 2, 3)] == [events[1], events[3], None]
    assert [record.ran("s", turn) for turn in (1, 2)] == [events[2], None]
    assert record.written("s/1.c", 1) == events[5]
    assert record.concluded("s") == events[6]
    assert record.concluded("s/1.c") is None


def reply(record: Recorded, session: str, turn: int, prompt: str) -> str | None:
    known = record.called(session, turn, prompt)
    return known.reply if known is not None else None


def test_each_reply_is_given_once_in_the_order_of_the_record() -> None:
    record = Recorded([called("p", "first"), called("q", "other"), called("p", "second")])
    assert [reply(record, "s", 1, "p") for _ in range(3)] == ["first", "second", None]
    assert reply(record, "s", 1, "q") == "other"


def test_a_reply_belongs_to_its_session_and_turn() -> None:
    record = Recorded([called("p", "here", "s", 1), called("p", "later", "s", 2), called("p", "below", "s/1.c", 1)])
    assert reply(record, "s", 3, "p") is None
    assert reply(record, "s/1.c", 1, "p") == "below"
    assert reply(record, "s", 2, "p") == "later"
    assert reply(record, "s", 1, "p") == "here"


def test_a_failure_is_given_in_its_place() -> None:
    events = [called("p", None), called("p", "at last"), called("q", "")]
    record = Recorded(events)
    assert [record.called("s", 1, "p") for _ in range(3)] == [events[0], events[1], None]
    assert reply(record, "s", 1, "q") == "", "an empty reply is a reply"


def test_what_the_attempt_spent_is_the_sum_of_its_events() -> None:
    events: list[Trajectory] = [
        opened(),
        written(1),
        called("p", "a"),
        called("p", None),
        ran(1),
        written(2, at=105),
        concluded(at=107),
    ]
    spent = Recorded(events).spent
    assert spent == Spent(seconds=8.0, model_calls=5, iterations=2, usage=COST + COST + COST + COST)


def test_turns_of_all_sessions_are_spent() -> None:
    assert Recorded([written(1), written(1, "s/1.c"), written(2, "s/1.c")]).spent.iterations == 3


def test_the_time_is_from_the_first_beginning_to_the_last_end_in_whatever_order_they_were_recorded() -> None:
    long = called("p", "a", at=100.5)  # is recorded when it has ended
    events: list[Trajectory] = [opened(), written(1), long, ran(1, at=103)]
    assert Recorded(events).spent.seconds == pytest.approx(5.0)
    assert Recorded(reversed(events)).spent.seconds == pytest.approx(5.0)


def test_an_estimate_stays_one() -> None:
    estimated = CodeWritten("s", 1, "", "", "", False, Usage(prompt=1, estimated=True), 1.0, 1.0)
    assert Recorded([estimated, written(2)]).spent.usage.estimated
