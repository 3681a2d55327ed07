"""The demonstrations that `ToolCompiler` starts with, as native turns; an optimised program brings its own.

They show what small models get wrong: that a call is made for each thing that is wanted, that what was not spoken of is
left out, and that a tool which shares a word with the intent may still not do it. See `rants eval tools`.
"""

from __future__ import annotations

from typing import Any

import dspy

from programs.blocks import part_of, wanted
from programs.likeness import likely
from programs.tool_outline import full
from programs.transcript import Tool

_TEXT: dict[str, Any] = {"type": "string"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_NUMBER: dict[str, Any] = {"type": "number"}


def _tool(name: str, description: str, optional: dict[str, Any] | None = None, /, **required: Any) -> Tool:
    properties = {**required, **(optional or {})}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return Tool(name=name, description=description, parameters=schema)


_FILES = (
    _tool("read", "Reads a file.", {"offset": _INTEGER}, path=_TEXT),
    _tool("write", "Writes a file.", path=_TEXT, content=_TEXT),
    _tool("replace", "Replaces text in a file.", {"all": {"type": "boolean"}}, path=_TEXT, old=_TEXT, new=_TEXT),
    _tool("run", "Runs a command.", {"timeout": {**_INTEGER, "description": "in seconds"}}, command=_TEXT),
)
_OFFICE = (
    _tool("find_contact", "Finds a person's e-mail address.", name=_TEXT),
    _tool(
        "book_room",
        "Books a meeting room.",
        {"guests": {"type": "array", "items": _TEXT}},
        room={"enum": ["small", "large"]},
        day={**_TEXT, "format": "date"},
        hours=_NUMBER,
    ),
)
_FORECAST = (
    _tool(
        "forecast",
        "Tells the weather that is expected in a city.",
        {"days": {**_INTEGER, "default": 1}, "unit": {"enum": ["celsius", "fahrenheit"], "default": "celsius"}},
        city={**_TEXT, "description": "In the form 'City, Country'."},
    ),
)
_MONEY = (
    _tool("savings_total", "What savings grow to.", deposit=_NUMBER, rate=_NUMBER, years=_INTEGER),
    _tool(
        "loan_payment",
        "Calculates the monthly payment of a loan.",
        {"fee": {**_NUMBER, "default": 0}},
        amount=_NUMBER,
        rate={**_NUMBER, "description": "The yearly interest rate, as a decimal."},
        years=_INTEGER,
    ),
)


type _Call = tuple[str, dict[str, Any]]


def _shown(
    tools: tuple[Tool, ...],
    intent: str,
    call: _Call | None = None,
    /,
    *,
    part: str = "",
    blocks: dict[str, str] | None = None,
) -> dspy.Example:
    """One intent, or a part of it, and the call that does it; without one, no tool does."""
    return dspy.Example(
        tools="\n".join(map(full, tools)),
        conversation=part_of(intent) if part else "",
        intent=wanted(part or intent, blocks or {}),
        likely=likely(part or intent, tools),
        tool_calls=[call] if call else [],
    )


def _split(intent: str, *parts: str) -> dspy.Example:
    return dspy.Example(intent=intent, parts=list(parts))


DEMONSTRATIONS: tuple[dspy.Example, ...] = (
    _shown(
        _FILES,
        "in src/shop.py replace block OLD with block NEW",
        ("replace", {"path": "src/shop.py", "old": {"$block": "OLD"}, "new": {"$block": "NEW"}}),
        blocks={"OLD": "def total(items):\n    pass", "NEW": "def total(items):\n    return sum(items)"},
    ),
    _shown(_FILES, "translate the README into French"),
    _shown(
        _OFFICE,
        "Book the large room on 3 May 2024 for an hour and a half and on 4 May for two, and find Ann Lee's address",
        ("book_room", {"room": "large", "day": "2024-05-04", "hours": 2}),
        part="large room, 4 May for two hours",
    ),
    _shown(_FORECAST, "Which city has the most museums?"),
    _shown(
        _MONEY,
        "What is the payment of a loan of $12,000 at 4.5% over three years?",
        ("loan_payment", {"amount": 12000, "rate": 0.045, "years": 3}),
    ),
    _shown(
        _FORECAST,
        "How will the weather be in Lima, in Oslo and in Cairo?",
        ("forecast", {"city": "Oslo, Norway"}),
        part="weather in Oslo",
    ),
    _shown(
        _FILES,
        "delete the file tmp/old.log and run the tests",
        ("run", {"command": "rm tmp/old.log"}),
        part="delete the file tmp/old.log",
    ),
    _shown(
        _FILES,
        "write the file notes/plan.md with the content of block TEXT",
        ("write", {"path": "notes/plan.md", "content": {"$block": "TEXT"}}),
        blocks={"TEXT": "# Plan\n\n- paint the door\n- call Ann"},
    ),
)

SPLIT: tuple[dspy.Example, ...] = (
    _split("look at pyproject.toml and run the tests", "look at pyproject.toml", "run the tests"),
    _split(
        "Book the large room for Ann, Bo and Cleo on 3 May at 9, with a projector and coffee.",
        "book the large room for Ann, Bo and Cleo on 3 May at 9, with a projector and coffee",
    ),
    _split(
        "How will the weather be in Lima, in Oslo and in Cairo?",
        "weather in Lima",
        "weather in Oslo",
        "weather in Cairo",
    ),
    _split(
        "I have 12,000 dollars, a rate of 4.5% and three years. What will my savings be?",
        "savings from 12,000 dollars at 4.5% over three years",
    ),
    _split(
        "Help me plan. First, what is the payment of a loan of 500 over 2 years and of one of 900 over 4 years, "
        "both at 5%? Then find Ann Lee's address, I want to write to her.",
        "payment of a loan of 500 over 2 years at 5%",
        "payment of a loan of 900 over 4 years at 5%",
        "find Ann Lee's address",
    ),
    _split(
        "I am moving to Oslo next month, so there is a lot to do. I want to rent a van for 2 days, the large one. My "
        "sister comes along. How far is it from Bergen to Oslo by road? In the evening I would like a table for four "
        "at a place that serves fish, and we have 900 crowns. Finally, can you tell me the weather on Friday in both "
        "Oslo and Drammen?",
        "rent a large van for 2 days",
        "distance from Bergen to Oslo by road",
        "a table for four at a place that serves fish, with 900 crowns",
        "weather on Friday in Oslo",
        "weather on Friday in Drammen",
    ),
    _split(
        "Enter a new guest in our list, please. It is a 'member' with the name 'Ben Ode'. Can you do that for me?",
        "enter a new guest, a 'member' with the name 'Ben Ode', in our list",
    ),
    _split(
        "What do apples, pears and plums cost for 1, 2 and 5 kilos respectively?",
        "cost of 1 kilo of apples",
        "cost of 2 kilos of pears",
        "cost of 5 kilos of plums",
    ),
    _split(
        "A train leaves at 8 and drives 120 km. When is it there, given that its speed is 80 km an hour?",
        "arrival of a train that leaves at 8 and drives 120 km at 80 km an hour",
    ),
)
"""How an intent is split: into what takes a call each, however many values belong to it."""
