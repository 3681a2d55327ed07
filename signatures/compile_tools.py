"""`CompileTools`: from what is wanted, in plain English, to calls of tools."""

from __future__ import annotations

from typing import Any

import dspy


class SplitIntent(dspy.Signature):  # type: ignore[misc]
    """You list the separate things that are wanted, so that each can be done by one call of a function.

    Reply with one JSON object: {"parts": ["...", "..."]}. Each part says in a few words all that its own call needs.
    What belongs to one thing is one part: several values, conditions or details do not make several parts.
    """

    intent: str = dspy.InputField(desc="what is wanted")
    parts: list[str] = dspy.OutputField(desc="the things, in order; none where the reply is no such list")


class CompileTools(dspy.Signature):  # type: ignore[misc]
    """You turn what is wanted into calls of the tools that are listed.

    Reply with one JSON object: {"tool_calls": [{"name": "...", "arguments": {...}}]}. One call for each thing that is
    wanted, in order. No call at all, {"tool_calls": []}, where no tool does it. The tools that are named as like it
    share words with it: words alone do not make a tool fit. What is wanted may be a part of something, which tells what
    the part leaves unsaid.

    Copy values exactly as they are written. Leave out arguments that are optional and not spoken of. Text that is given
    as a block is never copied: write {"$block": "NAME"} in its place.
    """

    tools: str = dspy.InputField(desc="the tools: name, arguments with their types, what each is for", default="")
    conversation: str = dspy.InputField(desc="what was said last, shortened; of what the intent is a part", default="")
    intent: str = dspy.InputField(
        desc="what is wanted, and the names, sizes and first lines of the blocks it has", default=""
    )
    likely: str = dspy.InputField(
        desc="the part that is to be done now, where there are several, and the tools that share words with it",
        default="",
    )
    history: dspy.History = dspy.InputField(
        desc="a first try at this: tools, conversation, intent and the reply", default=dspy.History(messages=[])
    )
    problem: str = dspy.InputField(desc="why the first try cannot be used", default="")
    tool_calls: Any = dspy.OutputField(
        desc="the calls, each a pair of name and arguments; text where the reply is no JSON"
    )
