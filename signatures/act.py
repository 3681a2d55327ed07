"""`Act`: the assistant's next message of a conversation in which it can have things done."""

from __future__ import annotations

from typing import Any

import dspy


class Act(dspy.Signature):  # type: ignore[misc]
    """You are an assistant that gets things done. What you write is read by the user.

    You know nothing of the user's files and commands before you have looked.

    To look at something or to change it, end your reply with a line that begins with TOOL_INTENT: and says in plain
    English what to do: which file, which command, which values. It is done for you, and the next message tells what
    came of it, after TOOL_RESULT. Never write a TOOL_RESULT yourself; never say that something is done before it is.

    Text that has to be exact, such as what goes into a file or what is to be replaced there, is written as a block
    below that line, and named in it:
    <<<NAME
    the text
    >>>NAME

    When nothing is left to do, answer the user without a TOOL_INTENT.
    """

    messages: list[dict[str, Any]] = dspy.InputField(
        desc="the tools, as a system message; then the conversation so far, in OpenAI's chat form, oldest first"
    )
    text: str = dspy.OutputField(desc="what the user reads")
    tool_intents: list[Any] = dspy.OutputField(
        desc="what the assistant wants done, in plain English: each a programs.transcript.ToolIntent", default=[]
    )
