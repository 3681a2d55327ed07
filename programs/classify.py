"""Classify: the label of each of many texts, as the sub-LM judges it.

A label for every line is what code asks for most often. A weak model that is asked for it in plain text answers in
prose, or with labels of its own. Here it is asked text by text, and shown the examples as turns of a conversation. A
backend that tells how likely tokens are is asked for the first one, and how likely it makes each label; any other is
held to the labels, where it can do that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import dspy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from programs.errors import BackendError
from programs.likelihoods import BLANK, TOP, Likelihoods, lean, likeliest, likelihoods, read, written
from programs.transcript import Usage, estimate_tokens
from programs.tree import Tree
from signatures import Classify as ClassifySignature

_LABEL_TOKENS = 64  # that a label and the form around it take at most


class Asked(BaseModel):
    """What code asks for.

    Attributes:
        texts: each is labelled by itself.
        labels: what it may be.
        examples: texts with the labels that are right for them.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    texts: list[str]
    labels: list[str] = Field(min_length=1)
    examples: list[tuple[str, str]] = []

    @model_validator(mode="after")
    def _examples_have_labels(self) -> Self:
        if any(label not in self.labels for _, label in self.examples):
            raise ValueError("examples: a label that is not among labels")
        return self

    @classmethod
    def of(cls, texts: Any, labels: Any, examples: Any = (), **_: Any) -> Self:
        """What the arguments of a call ask for.

        Raises:
            TypeError, ValidationError: they are others.
        """
        pairs = examples.items() if isinstance(examples, dict) else examples or ()
        return cls(texts=texts, labels=labels, examples=[tuple(pair) for pair in pairs])

    def told(self, text: str) -> str:
        """The question for the label of `text`, as the record tells it."""
        shown = "".join(f"{example}\n-> {label}\n" for example, label in self.examples)
        return f"{self._labels}\n{shown}{text}\n->"

    def messages(self, text: str) -> list[dict[str, str]]:
        """The question for the label of `text`, as the sub-LM is asked."""
        turns = [{"role": "system", "content": self._labels}]
        for example, label in self.examples:
            turns += [{"role": "user", "content": example}, {"role": "assistant", "content": label}]
        return [*turns, {"role": "user", "content": text}]

    @property
    def _labels(self) -> str:
        return f"Labels: {', '.join(self.labels)}"


class Classify(dspy.Module):  # type: ignore[misc]
    """One call of the sub-LM for each text, and a few to see what it leans to."""

    def __init__(self) -> None:
        super().__init__()
        self.label = dspy.Predict(ClassifySignature)

    async def begin(self, asked: Asked, session: str, turn: int, tree: Tree) -> Labelling:
        """Begin to label texts, as the code of a turn asks.

        Raises:
            BudgetSpent, ContextTooLong: the sub-LM was not asked what it leans to, or could not be.
        """
        labelling = Labelling(self.label, asked, session, turn, tree)
        if tree.backends is not None and tree.backends.can("sub_lm", "logprobs"):
            await labelling.lean()
        return labelling


class Labelling:
    """One `classify(texts, labels, examples)` of code.

    Args:
        predictor: asks for a label.
        asked: what the code asks for.
        session, turn: whose code it is.
        tree: the run's.
    """

    def __init__(self, predictor: dspy.Predict, asked: Asked, session: str, turn: int, tree: Tree) -> None:
        self._predictor = predictor
        self._asked = asked
        self._session = session
        self._turn = turn
        self._tree = tree
        self._leaning: Likelihoods | None = None  # of a sub-LM that tells how likely labels are

    async def lean(self) -> None:
        """See what the sub-LM leans to. Some backends know less than is said of them: those are held to the labels.

        Raises:
            BudgetSpent, ContextTooLong: it was not asked, or could not be.
        """
        looks = map(self._of_blank, BLANK[: len(self._asked.texts)])
        blank = await asyncio.gather(*looks, return_exceptions=True)  # none is left behind when one fails
        for failure in blank:
            if isinstance(failure, BaseException):
                raise failure
        self._leaning = lean([likely for likely in blank if isinstance(likely, Mapping)])

    async def of(self, text: str) -> str | None:
        """The label of `text`; None where the model has said none of the labels, which one that is held to them cannot.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
        """
        prompt = self._asked.told(text)
        tokens = estimate_tokens(prompt)

        async def call() -> tuple[str, Usage]:
            spent = Usage()
            if self._leaning is not None:
                likely, spent = await self._likelihoods(text, tokens)
                if likely is not None:
                    return likeliest(likely, self._leaning), spent
            reply = await self._tree.held(
                "sub_lm",
                self._predictor,
                _schema(self._asked.labels),
                tokens=tokens,
                config={"temperature": 0.0, "max_tokens": _LABEL_TOKENS},
                messages=self._asked.messages(text),
            )
            return reply.label, spent + reply.usage

        said = await self._tree.recorded_call(self._session, self._turn, prompt, call)
        return _label_in(said, self._asked.labels)

    async def _of_blank(self, text: str) -> Likelihoods | None:
        prompt = self._asked.told(text)

        async def call() -> tuple[str, Usage]:
            likely, usage = await self._likelihoods(text, estimate_tokens(prompt))
            return written(likely), usage

        try:
            said = await self._tree.recorded_call(self._session, self._turn, f"{prompt} (What does it lean to?)", call)
        except BackendError:
            return None
        return read(said)

    async def _likelihoods(self, text: str, tokens: int) -> tuple[Likelihoods | None, Usage]:
        """How likely each label is for a text, where the sub-LM tells; and what that has cost."""
        reply = await self._tree.predict(
            "sub_lm",
            self._predictor,
            tokens=tokens,
            config={"temperature": 0.0, "max_tokens": 1, "logprobs": TOP},
            messages=self._asked.messages(text),
        )
        return likelihoods(reply.logprobs, self._asked.labels), reply.usage


def _schema(labels: Sequence[str]) -> dict[str, Any]:
    label = {"type": "string", "enum": list(labels)}
    return {"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": False}


def _label_in(reply: str, labels: Sequence[str]) -> str | None:
    """The label that a reply is; else the only one that is in it."""
    if reply in labels:
        return reply
    said = reply.casefold()
    found = [label for label in labels if label.casefold() in said]
    return found[0] if len(found) == 1 else None
