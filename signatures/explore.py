"""`Explore`: the next code over a context that is too long to read; `Conclude`: the answer when no more may be run."""

from __future__ import annotations

from typing import Any

import dspy


class Explore(dspy.Signature):  # type: ignore[misc]
    """You answer a question about a text that is too long to read. You see it only through Python code that you write.

    The text is in the variable `context`, the question in the variable `question`. Functions that are there:
    search(text) gives the passages of the context that say most about the text, best first
    grep(pattern) gives the lines in which a regular expression is found
    peek(start, size) gives a part of the context; chunks(size) gives all of it in pieces
    llm_query(prompt) asks a language model that sees only the prompt; llm_query_batched(prompts) asks many at once
    rlm_query(question, context) has another like you answer a question about a part of the context
    SUBMIT(answer) gives the answer and ends the work

    Write a few words and then one block of ```python code. You are shown what it prints. Variables are kept.
    Print only what you need. Let code count and compare; ask language models to judge meaning. When you know the
    answer, call SUBMIT.
    """

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="what of the conversation is shown, in OpenAI's chat form, oldest first; it ends with the question"
    )
    context: str = dspy.InputField(desc="what the variable `context` is: type, size, structure, beginning and end")
    history: dspy.History = dspy.InputField(
        desc="the turns before this one, each with its observation (of the code before it), budget, reasoning and code",
        default=dspy.History(messages=[]),
    )
    observation: str = dspy.InputField(desc="what the code of the last turn printed, or raised", default="")
    budget: str = dspy.InputField(desc="what is left to spend")
    reasoning: str = dspy.OutputField(desc="a few words before the code")
    code: str = dspy.OutputField(desc="Python that looks further, or calls SUBMIT")


class Conclude(dspy.Signature):  # type: ignore[misc]
    """Answer the user's last question as well as what was found allows. Give the answer alone."""

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="what of the conversation is shown, in OpenAI's chat form, oldest first; it ends with the question"
    )
    findings: str = dspy.InputField(desc="what was printed while the context was explored, oldest first")
    answer: str = dspy.OutputField(desc="what the user reads")
