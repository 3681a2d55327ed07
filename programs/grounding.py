"""Optional arguments that nobody has spoken of, and that small models fill in all the same.

A free text or a number is made up if neither it nor its argument's name is in what was said; and so is the second use
of a text that was said once. A flag, a choice, a code or a date may follow from what was said without being a word of
it, a number may be reckoned from those that were said, and what a tool requires has to be there: they stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from programs.coercion import resolved
from programs.likeness import stems
from programs.literal_calls import Call
from programs.transcript import Tool

# With other keywords, what is optional in one place may be needed in another.
_PLAIN = {"$schema", "$defs", "additionalProperties", "definitions", "description", "properties", "required", "title"}
_CODE = 3  # characters of "de" for German, "USD" for dollars
_MOST = 20  # numbers that are reckoned with
_UNITS = (7, 12, 24, 60, 3600)  # how many of the smaller are in the larger
_NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
_SPELLED = frozenset(
    re.findall(
        r"\w+",
        """one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty hundred thousand
        million half quarter dozen couple pair once twice double triple single first second third last""",
    )
)


def grounded(calls: Sequence[Call] | str, tools: Sequence[Tool], said: str) -> Sequence[Call] | str:
    """The calls, each without the optional arguments that were made up; a reply that is no calls as it is."""
    if isinstance(calls, str):
        return calls
    schemas = {tool.name: tool.parameters for tool in tools}
    return [
        (name, spoken_of(given, schemas[name], said) if name in schemas and isinstance(given, dict) else given)
        for name, given in calls
    ]


def spoken_of(arguments: dict[str, Any], schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """The arguments without the optional ones that were made up.

    Args:
        arguments: of a call, as they were written.
        schema: what they should fit.
        said: the intent, and what was said before.
    """
    whole = resolved(schema, schema)
    if not isinstance(whole, Mapping) or not _PLAIN.issuperset(set(whole) - {"type"}):
        return arguments
    properties = whole.get("properties")
    if not isinstance(properties, Mapping):
        return arguments
    optional = [name for name in properties if name not in (whole.get("required") or ())]
    words, numbers = stems(said), set(map(_significant, map(str, _reckoned(said))))
    spelled = not _SPELLED.isdisjoint(said.lower().split())

    def named(name: str) -> bool:
        return stems(name) <= words

    def made_up(value: Any, schema: Any) -> bool:
        if isinstance(schema, Mapping) and {"enum", "const", "format"} & set(schema):
            return False
        match value:
            case bool():
                return False
            case int() | float():
                return not spelled and _significant(str(value)) not in numbers
            case str():
                mine = stems(value)
                return len(value) > _CODE and bool(mine) and not _share(mine, words)
            case [*items] if items:
                inner = schema.get("items") if isinstance(schema, Mapping) else None
                return all(made_up(item, inner) for item in items)
        return False

    kept: dict[str, Any] = {}
    taken = [value for name, value in arguments.items() if name not in optional]
    for name, value in arguments.items():
        if name in optional:
            inner = resolved(properties[name], schema)
            default = isinstance(inner, Mapping) and "default" in inner and inner["default"] == value
            if not (default or named(name)) and (made_up(value, inner) or _used_up(value, taken, said)):
                continue
            taken.append(value)
        kept[name] = value
    return kept


def _used_up(value: Any, taken: list[Any], said: str) -> bool:
    """Whether a text has gone to other arguments as often as it was said."""
    return isinstance(value, str) and 0 < said.lower().count(value.lower()) <= taken.count(value)


def _share(these: set[str], those: set[str]) -> bool:
    """Whether they have a word in common; or a word of the one begins with a word of the other: `py`, and `python`."""
    return not these.isdisjoint(those) or any(
        min(len(one), len(other)) > 1 and (one.startswith(other) or other.startswith(one))
        for one in these
        for other in those
    )


def _reckoned(said: str) -> Iterator[float]:
    """The numbers that were said, and what follows from them: lines 100 to 150 are 50 or 51, 2 hours 120 minutes."""
    numbers = [float(number.replace(",", "")) for number in _NUMBER.findall(said) if number.count(".") < 2][:_MOST]
    for one in numbers:
        yield from (one, one - 1, one + 1, *(one * many for many in _UNITS))
        for other in numbers:
            yield from (one + other, one - other, one - other + 1, one * other)


def _significant(number: str) -> str:
    """The digits by which a number is known however it is written: 4.5 % and 0.045, 12,000 and 12000."""
    return re.sub(r"\D", "", number).strip("0")
