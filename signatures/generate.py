"""`Generate`: the assistant's next message of a conversation."""

from __future__ import annotations

from typing import Any

import dspy


class Generate(dspy.Signature):  # type: ignore[misc]
    """You are a helpful assistant."""

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="the conversation so far in OpenAI's chat form, oldest first; its roles reach the model natively"
    )
    text: str = dspy.OutputField(desc="what the user reads")
    tool_intents: list[Any] = dspy.OutputField(
        desc="what the assistant wants done, in plain English: each a programs.transcript.ToolIntent", default=[]
    )
