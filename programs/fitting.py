"""Calls as a model wrote them, made into calls that fit their tools' schemas; or what is wrong with them, in words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from programs.blocks import reference, spliced, unused
from programs.coercion import coerced
from programs.literal_calls import Call
from programs.placing import placed, places
from programs.schemas import UnusableSchema, problem
from programs.transcript import Tool, ToolCall

_MOST_CALLS = 64
_MOST_NAMES, _LONGEST_NAME = 50, 100  # that a message repeats


class Misfit(Exception):
    """A call does not fit. `str(error)` tells the model what is wrong."""


class BlockLost(Misfit):
    """The calls fit, and some block is in none of them.

    Args:
        lost: the blocks' names.
        calls: the calls.
        placeless: none of them has a place for any text.
    """

    def __init__(self, lost: Sequence[str], calls: tuple[ToolCall, ...], *, placeless: bool) -> None:
        super().__init__(f"The text of {', '.join(map(reference, lost))} is in none of the arguments.")
        self.calls = calls
        self.placeless = placeless


def fitted(
    calls: Sequence[Call], tools: Sequence[Tool], blocks: Mapping[str, str], said: str = ""
) -> tuple[ToolCall, ...]:
    """The calls with their blocks in place; of those that say the same, one.

    Args:
        calls: as they were written.
        tools: what may be called.
        blocks: verbatim texts that arguments may refer to. None of them may be lost.
        said: the intent, in words: where a single call leaves out a block, they tell where it goes.

    Raises:
        Misfit: one of them does not fit its tool's schema, or names no tool.
        BlockLost: a block is in none.
    """
    if len(calls) > _MOST_CALLS:
        raise Misfit(f"There are {len(calls)} calls; make at most {_MOST_CALLS} at once.")
    made: dict[tuple[str | None, str, str], ToolCall] = {}
    held: list[tuple[Tool, Any]] = []
    for name, written in calls:
        tool = _named(name, tools)
        given = spliced(written if written is not None else {}, blocks)
        if len(calls) == 1 and (left := unused([given], blocks)):
            given = placed(given, _schema(tool), {block: blocks[block] for block in left}, said)
        arguments, text = _fitted(tool, given)
        call = ToolCall(id=f"call_{uuid.uuid4().hex[:24]}", name=tool.name, arguments=text, namespace=tool.namespace)
        made.setdefault((tool.namespace, tool.name, text), call)
        held.append((tool, arguments))
    if lost := unused([arguments for _, arguments in held], blocks):
        placeless = not any(places(arguments, _schema(tool), said) for tool, arguments in held)
        raise BlockLost(lost, tuple(made.values()), placeless=placeless)
    return tuple(made.values())


def _fitted(tool: Tool, arguments: Any) -> tuple[Any, str]:
    """The arguments, and their JSON text.

    Raises:
        Misfit: they do not fit, or are no JSON.
    """
    wrong: str | None = "$: the arguments are no object"
    try:
        arguments = coerced(arguments, _schema(tool))
        if isinstance(arguments, dict):
            wrong = problem(arguments, _schema(tool))
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnusableSchema as error:
        wrong = f"its schema cannot be used: {error}"
    except UnicodeEncodeError:
        wrong = "$: half of a surrogate pair is no text"
    except ValueError:
        wrong = "$: NaN and Infinity are no JSON"
    if wrong:
        raise Misfit(f"The arguments of {tool.name} do not fit: {wrong}")
    return arguments, text


def _schema(tool: Tool) -> Mapping[str, Any]:
    return tool.parameters or {"type": "object"}


def _named(name: str, tools: Sequence[Tool]) -> Tool:
    """The tool that a model means by `name`: also where it writes it in another case, or with a prefix.

    Raises:
        Misfit: there is none, or more than one.
    """
    for tool in tools:
        if tool.name == name:
            return tool
    alike = [tool for tool in tools if _plain(tool.name) == _plain(name)]
    if len(alike) != 1:
        known = [tool.name for tool in tools]
        there = ", ".join(known[:_MOST_NAMES] + ["..."] * (len(known) > _MOST_NAMES))
        raise Misfit(f"There is no tool {name[:_LONGEST_NAME]!r}. There are: {there}.")
    return alike[0]


def _plain(name: str) -> str:
    return name.rpartition(".")[2].lower().replace("-", "_")
