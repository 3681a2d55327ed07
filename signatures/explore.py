"""`Explore`: the next code over a context that is too long to read; `Conclude`: the answer when no more may be run."""

from __future__ import annotations

from typing import Any

import dspy


class Explore(dspy.Signature):  # type: ignore[misc]
    """You answer the user's question about a text that is too long to read at once.

    It is the variable `context` in a Python session; the question is the variable `question`. Variables stay from turn
    to turn.

    Write a little prose, then one ```python block. What it prints is shown to you. Look first, then answer with
    SUBMIT(answer).

    You can call:
    - search(question): the passages that say most about it, best first; grep(pattern): the lines that match;
      peek(start, size): a piece; chunks(size): all of it in pieces
    - llm_query(prompt): ask a language model; llm_query_batched(prompts): many at once, answers in order
    - classify(texts, labels, examples): the label of each text, as a model judges it; examples are (text, label)
    - rlm_query(question, text): have a question answered over a long text
    - SUBMIT(answer): gives the answer and ends
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
