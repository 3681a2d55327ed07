"""`Classify`: which of a few labels fits a text."""

from __future__ import annotations

from typing import Any

import dspy


class Classify(dspy.Signature):  # type: ignore[misc]
    """Say which label fits the text."""

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="the labels, as a system message; then the examples, as turns of a conversation; then the text"
    )
    label: str = dspy.OutputField(desc="the label")
