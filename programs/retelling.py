"""A conversation as its generator is told it: its own past intents as it wrote them, and what came of them.

A generator never sees a call. It is shown what it said it wants done, byte for byte, so that the prompt of a turn is
the beginning of the next turn's; and results as turns of the user's, which every chat template knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from programs.splitter import RESULT, join
from programs.transcript import Message, ToolIntent


def retold(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The messages in OpenAI's chat form, in the roles `system`, `developer`, `user` and `assistant` alone."""
    names: dict[str | None, str] = {}
    told: list[dict[str, Any]] = []
    after_result = False
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}
        role, content = message.role, words_of(message)
        is_result = role == "tool"
        if is_result:
            role, content = "user", f"{RESULT} {names.get(message.tool_call_id, '')}".rstrip() + f":\n{content}"
        # Two turns of the user's, one after the other, are no conversation for many a template.
        if role == "user" and (after_result or (is_result and told and told[-1]["role"] == role)):
            told[-1] = {"role": role, "content": f"{told[-1]['content']}\n\n{content}"}
        else:
            told.append({"role": role, "content": content})
        after_result = is_result
    return told


def words_of(message: Message) -> str:
    """All that a message says. A call whose intent nobody knows any more is an intent that spells it out."""
    intents = message.intents or [
        ToolIntent(text=f"call {call.name} with {call.arguments}") for call in message.tool_calls
    ]
    return join(message.content, intents)
