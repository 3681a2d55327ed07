"""Tools as a model reads them: like functions with typed arguments, in a fifth of the room that JSON Schema takes.

edit(filePath: string, oldString: string, newString: string, replaceAll?: boolean)
Replaces text in a file.
filePath: the absolute path
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from programs.coercion import resolved
from programs.transcript import Message, Session, Tool, Transcript

_SENTENCE = re.compile(r"(?<=[.!?])\s")
_DEPTHS = (4, 2, 1)  # levels of a type that are told
_MOST_PARTS = 200  # of a type
_MOST_CHOICES = 30
_MANY = 30  # tools: of so many only names and first words are told
_BRIEF, _FULL, _OF_ARGUMENT = 160, 600, 200  # characters of a description


def brief(tools: Iterable[Tool]) -> str:
    """A line a tool, for the model that says what it wants: what each is for, and what it has to be told."""
    listed = list(tools)
    many = len(listed) > _MANY
    return "\n".join(_brief(tool, _BRIEF // 2 if many else _BRIEF, arguments=not many) for tool in listed)


def telling(session: Session, how: str = "Tools:") -> Session:
    """The session, its first message telling of the tools that it is offered, and `how` they are used."""
    if not session.tools.offered:
        return session
    told = Message(role="system", content=f"{how}\n{brief(session.tools.offered)}")
    return replace(session, transcript=Transcript(messages=(told, *session.transcript.messages)))


def full(tool: Tool) -> str:
    """All that the model which fills in a call needs of it."""
    lines = [f"{tool.name}({', '.join(_arguments(tool))})"]
    if said := _cut(tool.description, _FULL):
        lines.append(f"  {said}")
    properties = _properties(tool)
    for name, schema in properties.items():
        if about := _about(resolved(schema, tool.parameters)):
            lines.append(f"  {name}: {about}")
    return "\n".join(lines)


def _brief(tool: Tool, room: int, *, arguments: bool) -> str:
    names = f"({', '.join(_names(tool))})" if arguments else ""
    said = _cut(_SENTENCE.split(tool.description.strip(), maxsplit=1)[0], room)
    return f"- {tool.name}{names}: {said}" if said else f"- {tool.name}{names}"


def _properties(tool: Tool) -> Mapping[str, Any]:
    schema = resolved(tool.parameters, tool.parameters)
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


def _required(tool: Tool) -> list[str]:
    schema = resolved(tool.parameters, tool.parameters)
    return list(schema.get("required") or ()) if isinstance(schema, Mapping) else []


def _names(tool: Tool) -> Iterator[str]:
    required = _required(tool)
    for name in _properties(tool):
        yield name if name in required else f"{name}?"


def _arguments(tool: Tool) -> Iterator[str]:
    for name, schema in zip(_names(tool), _properties(tool).values(), strict=True):
        yield f"{name}: {_type(schema, tool.parameters)}"


def _type(schema: Any, root: Any) -> str:
    """A schema as a type. Where that is too long in full, it is told less deeply."""
    for deepest in _DEPTHS:
        try:
            return _Type(root, deepest).told(schema, 0)
        except _TooLong:
            continue
    return "any"


class _TooLong(Exception):
    """A type has too many parts to be read."""


class _Type:
    """One argument's type on its way."""

    def __init__(self, root: Any, deepest: int) -> None:
        self._root = root
        self._deepest = deepest
        self._left = _MOST_PARTS

    def told(self, schema: Any, depth: int) -> str:
        """The type.

        Raises:
            _TooLong: it has too many parts.
        """
        self._left -= 1
        if self._left < 0:
            raise _TooLong
        schema = resolved(schema, self._root)
        if not isinstance(schema, Mapping) or depth > self._deepest:
            return "any"
        if "const" in schema:
            return _json(schema["const"])
        if isinstance(values := schema.get("enum"), list) and values:
            more = [*map(_json, values[:_MOST_CHOICES])] + ["..."] * (len(values) > _MOST_CHOICES)
            return " | ".join(more)
        choices = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(choices, list):
            return " | ".join(dict.fromkeys(self.told(choice, depth + 1) for choice in choices))
        kind = schema.get("type")
        if isinstance(kind, list):
            return " | ".join(self.told({**schema, "type": one}, depth + 1) for one in kind)
        if kind == "array":
            inner = self.told(schema.get("items", {}), depth + 1)
            return f"({inner})[]" if " | " in inner else f"{inner}[]"
        if isinstance(properties := schema.get("properties"), Mapping):
            required = schema.get("required") or ()
            fields = [
                f"{name}{'' if name in required else '?'}: {self.told(inner, depth + 1)}"
                for name, inner in properties.items()
            ]
            return "{" + ", ".join(fields) + "}"
        return str(kind or "any")


def _about(schema: Any) -> str:
    """What an argument is for, and what it is where nobody says."""
    if not isinstance(schema, Mapping):
        return ""
    said = _cut(str(schema.get("description") or ""), _OF_ARGUMENT)
    shape = [f"format {schema['format']}"] if isinstance(schema.get("format"), str) else []
    if "default" in schema and schema["default"] is not None:
        shape.append(f"default {_cut(_json(schema['default']), _OF_ARGUMENT)}")
    return f"{said} ({', '.join(shape)})".strip() if shape else said


def _cut(text: str, room: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= room else f"{text[:room].rsplit(' ', 1)[0]} ..."


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
