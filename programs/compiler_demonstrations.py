"""The demonstrations that `ToolCompiler` starts with, as native turns; an optimised program brings its own."""

from __future__ import annotations

import dspy

_FILES = """read(path: string, offset?: integer)
  Reads a file.
write(path: string, content: string)
  Writes a file.
replace(path: string, old: string, new: string, all?: boolean)
  Replaces text in a file.
run(command: string, timeout?: integer)
  Runs a command.
  timeout: seconds"""

_OFFICE = """find_contact(name: string)
  Finds a person's e-mail address.
book_room(room: "small" | "large", day: string, hours: number, guests?: string[])
  Books a meeting room.
  day: the date (format date)"""


def _shown(tools: str, intent: str, *calls: tuple[str, dict[str, object]]) -> dspy.Example:
    return dspy.Example(tools=tools, intent=f"Wanted: {intent}", tool_calls=list(calls))


DEMONSTRATIONS: tuple[dspy.Example, ...] = (
    _shown(
        _FILES,
        'in src/shop.py replace block OLD with block NEW\n{"$block": "OLD"}: 2 lines, begins with: def total(items):\n'
        '{"$block": "NEW"}: 3 lines, begins with: def total(items):',
        ("replace", {"path": "src/shop.py", "old": {"$block": "OLD"}, "new": {"$block": "NEW"}}),
    ),
    _shown(_FILES, "translate the README into French"),
    _shown(
        _OFFICE,
        "book the large room on 3 May 2024 for an hour and a half, and on 4 May for two hours",
        ("book_room", {"room": "large", "day": "2024-05-03", "hours": 1.5}),
        ("book_room", {"room": "large", "day": "2024-05-04", "hours": 2}),
    ),
    _shown(
        _FILES,
        "look at pyproject.toml and run the tests",
        ("read", {"path": "pyproject.toml"}),
        ("run", {"command": "pytest"}),
    ),
)
