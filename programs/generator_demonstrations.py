"""The demonstrations that `Act` starts with, as native turns; an optimised program brings its own.

They are for weak models, which do as they are shown: each is a whole piece of work, looked at before it is changed and
told only when it is done; most of it by commands, which such models know better than tools.
"""

from __future__ import annotations

import dspy

from programs.transcript import ToolIntent


def _work(*turns: str, text: str = "", intent: ToolIntent | None = None) -> dspy.Example:
    """A piece of work: what the user and the assistant have said in turn, and what the assistant says next."""
    roles = ("user", "assistant") * len(turns)
    messages = [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=False)]
    return dspy.Example(messages=messages, text=text, tool_intents=[intent] if intent else [])


DEMONSTRATIONS: tuple[dspy.Example, ...] = (
    _work("What does HTTP 404 mean?", text="The server did not find what was asked for."),
    _work(
        "Write a script greet.py that greets Ada.",
        intent=ToolIntent(
            text="write the file greet.py with the content of block CODE",
            blocks={"CODE": 'def greet(name):\n    print(f"Hello, {name}!")\n\n\ngreet("Ada")'},
        ),
    ),
    _work(
        "The limit in app/config.py should be 20.",
        "TOOL_INTENT: read the file app/config.py",
        'TOOL_RESULT:\nHOST = "localhost"\nLIMIT = 10\nRETRIES = 3',
        intent=ToolIntent(
            text="in app/config.py replace block OLD with block NEW", blocks={"OLD": "LIMIT = 10", "NEW": "LIMIT = 20"}
        ),
    ),
    _work(
        "Move draft.md into the folder old.",
        "TOOL_INTENT: run the command `mkdir -p old && mv draft.md old/draft.md`",
        "TOOL_RESULT:\n",
        text="draft.md is now old/draft.md.",
    ),
    _work(
        "Write color instead of colour in paint.md.",
        "TOOL_INTENT: run the command `sed -i 's/colour/color/g' paint.md`",
        "TOOL_RESULT:\n",
        text="paint.md now says color.",
    ),
    _work(
        "Where is load_user defined?",
        "TOOL_INTENT: run the command `grep -rn load_user .`",
        "TOOL_RESULT:\n./app/users.py:12:def load_user(name):\n./tests/test_users.py:4:from app.users import load_user",
        text="load_user is defined in app/users.py, line 12.",
    ),
    _work("What does the soup cost in data/menu.txt?", intent=ToolIntent(text="read the file data/menu.txt")),
    _work("Which files are in the folder docs?", intent=ToolIntent(text="run the command `ls docs`")),
    _work("Does make check pass?", intent=ToolIntent(text="run the command `make check`")),
)
