"""Classify: the label of each of many texts, as the sub-LM judges it.

A label for every line is what code asks for most often. A weak model that is asked for it in plain text answers in
prose, or with labels of its own; here it is asked text by text, held to the labels where the backend can do that, and
is shown the examples as turns of a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

import dspy
from pydantic import BaseModel, ConfigDict, Field, model_validator

from programs.tree import Tree
from signatures import Classify as ClassifySignature


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


class Classify(dspy.Module):  # type: ignore[misc]
    """One call of the sub-LM for each text."""

    def __init__(self) -> None:
        super().__init__()
        self.label = dspy.Predict(ClassifySignature)

    async def of(self, text: str, asked: Asked, session: str, turn: int, tree: Tree) -> str | None:
        """The label of `text`; None where the model has said none of the labels, which one that is held to them cannot.

        Raises:
            BudgetSpent, BackendError, ContextTooLong: it was not asked, or failed.
        """
        known = f"Labels: {', '.join(asked.labels)}"
        shown = "".join(f"{example}\n-> {label}\n" for example, label in asked.examples)
        reply = await tree.classify(
            session,
            turn,
            f"{known}\n{shown}{text}\n->",
            self.label,
            _schema(asked.labels),
            messages=_messages(known, asked.examples, text),
        )
        return _label_in(reply, asked.labels)


def _messages(known: str, examples: Sequence[tuple[str, str]], text: str) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": known}]
    for example, label in examples:
        turns.append({"role": "user", "content": example})
        turns.append({"role": "assistant", "content": json.dumps({"label": label}, ensure_ascii=False)})
    return [*turns, {"role": "user", "content": text}]


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
