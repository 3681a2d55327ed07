"""A trajectory as text."""

from __future__ import annotations

from programs import Usage, outline
from programs.events import (
    CodeRan,
    CodeWritten,
    Concluded,
    ModelCalled,
    SessionOpened,
    ToolRan,
    ToolStarted,
    Trajectory,
)
from programs.transcript import ToolCall

FREE = Usage()


def wrote(session: str, turn: int, code: str) -> CodeWritten:
    return CodeWritten(session, turn, "Budget left.", "I look.", code, False, FREE, 0.0, 0.0)


def test_the_tree_of_sessions_is_told_in_the_order_of_turns_whatever_ran_first() -> None:
    events: list[Trajectory] = [
        SessionOpened("root", 0, "Who?", "`context` is a str.", 0.0),
        wrote("root", 1, "x = 1\ny = 2"),
        SessionOpened("root/1.aa", 1, "Which part?", "`context` is a part.", 0.0),
        ModelCalled("root", 1, "Is it he?", "Yes.", None, FREE, 0.0, 0.0),
        wrote("root/1.aa", 1, "SUBMIT('this')"),
        ModelCalled("root/1.bb", 0, "A short text.", None, "refused", FREE, 0.0, 0.0),
        CodeRan("root/1.aa", 1, "", "this", False, 0.0, 0.0),
        CodeRan("root", 1, "seen", None, False, 0.0, 0.0),
        Concluded("root", "He.", "budget_seconds", FREE, 0.0, 0.0),
    ]
    assert outline(events).splitlines() == [
        "? Who?",
        "  `context` is a str.",
        "> turn 1: I look.",
        "  x = 1",
        "  y = 2",
        "~ Is it he?",
        "< Yes.",
        "  ? Which part?",
        "    `context` is a part.",
        "  > turn 1: I look.",
        "    SUBMIT('this')",
        "  = submitted: this",
        "  ~ A short text.",
        "  < failed: refused",
        "= seen",
        "= concluded (budget_seconds): He.",
    ]


def test_what_a_tool_opened_comes_before_its_result() -> None:
    call = ToolCall(id="call_1", name="task", arguments="{}")
    events: list[Trajectory] = [
        ToolStarted("root", 1, call, 0.0),
        SessionOpened("root/call_1", 1, "Deeper?", "none", 0.0),
        Concluded("root/call_1+2", "Deep.", "budget_seconds", FREE, 0.0, 0.0),
        Concluded("root/call_10", "Another's.", "budget_seconds", FREE, 0.0, 0.0),
        ToolRan("root", 1, call, "It is deep.", True, {}, 0.0, 0.0),
    ]
    assert outline(events).splitlines() == [
        "  ? Deeper?",
        "    none",
        "  = concluded (budget_seconds): Deep.",
        "task: It is deep.",
    ]


def test_what_is_long_is_told_by_its_ends() -> None:
    (line,) = outline([CodeRan("root", 1, "a" * 500 + "b" * 500, None, False, 0.0, 0.0)]).splitlines()
    assert line == f"= {'a' * 200} [...] {'b' * 200}"


def test_nothing_was_done() -> None:
    assert outline([]) == ""
