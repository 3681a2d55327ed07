"""The demonstrations that `Act` starts with, as native turns; an optimised program brings its own."""

from __future__ import annotations

import dspy

from programs.transcript import ToolIntent


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


DEMONSTRATIONS: tuple[dspy.Example, ...] = (
    dspy.Example(
        messages=[
            _user("What is the price in data/menu.txt?"),
            _assistant("TOOL_INTENT: read the file data/menu.txt"),
            _user("TOOL_RESULT:\nSoup of the day\n4.50"),
        ],
        text="The soup of the day costs 4.50.",
        tool_intents=[],
    ),
    dspy.Example(
        messages=[_user("Write a script greet.py that greets Ada.")],
        text="",
        tool_intents=[
            ToolIntent(
                text="write the file greet.py with the content of block CODE",
                blocks={"CODE": 'def greet(name):\n    print(f"Hello, {name}!")\n\n\ngreet("Ada")'},
            )
        ],
    ),
    dspy.Example(
        messages=[
            _user("The limit in app/config.py should be 20."),
            _assistant("I'll look at it first.\nTOOL_INTENT: read the file app/config.py"),
            _user('TOOL_RESULT:\nHOST = "localhost"\nLIMIT = 10\nRETRIES = 3'),
        ],
        text="",
        tool_intents=[
            ToolIntent(
                text="in app/config.py replace block OLD with block NEW",
                blocks={"OLD": "LIMIT = 10", "NEW": "LIMIT = 20"},
            )
        ],
    ),
    dspy.Example(
        messages=[
            _user("Run the tests."),
            _assistant("TOOL_INTENT: run the command `pytest -q`"),
            _user("TOOL_RESULT:\n3 passed in 0.12s"),
        ],
        text="All 3 tests pass.",
        tool_intents=[],
    ),
)
