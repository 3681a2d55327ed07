"""What a script reads of a request: who said what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Said:
    """One message: its role and all its text."""

    role: str
    text: str


def messages_of(body: dict[str, Any]) -> list[Said]:
    """The messages of a chat completion's body, oldest first."""
    return [Said(message["role"], _text(message.get("content"))) for message in body["messages"]]


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
