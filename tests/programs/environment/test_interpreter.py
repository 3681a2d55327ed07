"""dspy's own RLM runs in our environments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest
from dspy.primitives.code_interpreter import (
    CodeExecutionError,
    CodeInterpreter,
    CodeInterpreterError,
    FinalOutput,
)
from dspy.utils.dummies import DummyLM

from programs.environment import EnvironmentInterpreter, Limits


@pytest.fixture(params=["jail", "monty"])
def interpreter(request: pytest.FixtureRequest) -> Iterator[EnvironmentInterpreter]:
    interpreter = EnvironmentInterpreter(request.param, limits=Limits(wall_seconds=5))
    yield interpreter
    interpreter.shutdown()


def test_it_is_a_code_interpreter(interpreter: EnvironmentInterpreter) -> None:
    assert isinstance(interpreter, CodeInterpreter)


def test_state_output_and_variables(interpreter: EnvironmentInterpreter) -> None:
    assert interpreter.execute("x = n + 1", {"n": 1}) is None
    assert interpreter.execute("print(x)") == "2\n"


def test_tools_plain_and_async(interpreter: EnvironmentInterpreter) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    async def shout(text: str) -> str:
        return text.upper()

    def broken() -> None:
        raise ValueError("not today")

    interpreter.tools.update(add=add, shout=shout, broken=broken)
    assert interpreter.execute("print(add(1, b=2), shout('x'))") == "3 X\n"
    with pytest.raises(CodeExecutionError, match="ValueError: not today"):
        interpreter.execute("broken()")


def test_submit_by_position_and_by_name(interpreter: EnvironmentInterpreter) -> None:
    assert interpreter.execute("SUBMIT('a')") == FinalOutput("a")
    interpreter.output_fields = [{"name": "answer"}, {"name": "why"}]
    assert interpreter.execute("SUBMIT(1, 'x')") == FinalOutput({"answer": 1, "why": "x"})
    assert interpreter.execute("SUBMIT(why='x', answer=1)") == FinalOutput({"answer": 1, "why": "x"})


def test_errors(interpreter: EnvironmentInterpreter) -> None:
    with pytest.raises(SyntaxError):
        interpreter.execute("for")
    with pytest.raises(CodeExecutionError, match="KeyError: 'a'"):
        interpreter.execute("{}['a']")
    interpreter.shutdown()
    with pytest.raises(CodeInterpreterError, match="shut down"):
        interpreter.execute("1")


async def test_it_is_shut_down_from_a_running_event_loop(interpreter: EnvironmentInterpreter) -> None:
    interpreter.tools["add"] = lambda a, b: a + b
    assert interpreter.execute("print(add(1, 2))") == "3\n"
    interpreter.shutdown()


def test_dspy_rlm_runs_in_it() -> None:
    replies: list[dict[str, Any]] = [
        {"reasoning": "look", "code": "print(len(text), open)\nn = llm_query('how many?')"},
        {"reasoning": "done", "code": "try:\n    open('/etc/passwd')\nexcept PermissionError:\n    SUBMIT(answer=n)"},
    ]
    program = dspy.RLM("text -> answer", interpreter_factory=EnvironmentInterpreter, sub_lm=lambda prompt: ["four"])
    with dspy.context(lm=DummyLM(replies), adapter=dspy.ChatAdapter()):
        got = program(text="abcd")
    assert got.answer == "four"
    assert len(got.trajectory) == 2
