"""Which calls of a run are worth showing."""

from __future__ import annotations

from typing import Any

import dspy

from evals.optimize.steps import Step, Traced, steps_of
from programs import RANTS

RULES = RANTS()


def wrote(question: str, code: str, *before: str) -> Traced:
    inputs = {
        "messages": [{"role": "user", "content": question}],
        "context": "A str.",
        "history": dspy.History(messages=[{"code": one} for one in before]),
        "observation": "seen" if before else "",
        "budget": "Much.",
    }
    return RULES.explore.write, inputs, dspy.Prediction(reasoning="", code=code, written="?", usage=None)


def called(intent: str, calls: Any, tried: Any = None) -> Traced:
    inputs: dict[str, Any] = {"tools": "ring()", "conversation": "", "intent": intent, "likely": "Like it: ring"}
    if tried is not None:
        inputs = {
            "history": dspy.History(messages=[{**inputs, "tool_calls": tried}]),
            "problem": "This cannot be used.",
        }
    return RULES.tool_compiler.compile, inputs, dspy.Prediction(tool_calls=calls, written="?")


def test_a_run_is_the_last_turn_at_its_root() -> None:
    trace = [
        wrote("Who?", "rlm_query('Where?', context)"),
        wrote("Where?", "print(1)"),
        wrote("Where?", "SUBMIT('There')", "print(1)"),
        wrote("Who?", "SUBMIT('She')", "rlm_query('Where?', context)"),
        wrote("When?", "SUBMIT('Then')"),
    ]
    (step,) = steps_of(RULES, trace)
    assert (step.predictor, step.outputs) == ("explore.write", {"reasoning": "", "code": "SUBMIT('She')"})
    assert step.inputs["history"].messages == [{"code": "rlm_query('Where?', context)"}]


def test_each_part_that_was_compiled_is_shown() -> None:
    steps = steps_of(RULES, [called("Wanted: ring", [("ring", {})]), called("Wanted: stop", [])])
    assert [step.inputs["intent"] for step in steps] == ["Wanted: ring", "Wanted: stop"]


def test_of_a_second_try_the_first_question_and_the_last_answer_are_shown() -> None:
    trace = [called("Wanted: ring", "Hm."), called("Wanted: ring", [("ring", {})], tried="Hm.")]
    inputs = {"tools": "ring()", "conversation": "", "intent": "Wanted: ring", "likely": "Like it: ring"}
    assert steps_of(RULES, trace) == (Step("tool_compiler.compile", inputs, {"tool_calls": [("ring", {})]}),)
