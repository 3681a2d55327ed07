"""Ten small things that people ask a coding agent for, each with files to begin with and an end to check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task.

    Attributes:
        name: short, for tables.
        prompt: what the user asks.
        files: the folder at first, by relative path.
        after: what is to differ at the end: a file's text, or None for a file that is gone. Any other file must be as
            it was; further files may be there.
        says: what the answer must contain, where the task is a question.
    """

    name: str
    prompt: str
    files: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str | None] = field(default_factory=dict)
    says: str = ""

    def begin(self, folder: Path) -> None:
        """Lay out the files."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def done(self, folder: Path, answer: str) -> bool:
        """Whether the folder and the answer are as they should be; white space at the end of a file does not count."""
        expected = {**self.files, **self.after}
        right = all(_text(folder / name) == (text and text.rstrip()) for name, text in expected.items())
        return right and self.says in answer


def _text(path: Path) -> str | None:
    """The text of a file, or None where there is none."""
    try:
        return path.read_text().rstrip()
    except (FileNotFoundError, NotADirectoryError):
        return None


_FOO = """def foo(x):
    return x + 1


print(foo(foo(1)))
"""

TASKS: tuple[Task, ...] = (
    Task(
        name="create a file",
        prompt="Create a file hello.txt that contains: Hello, world!",
        after={"hello.txt": "Hello, world!"},
    ),
    Task(
        name="rename a function",
        prompt="Rename the function foo to bar everywhere in a.py.",
        files={"a.py": _FOO},
        after={"a.py": _FOO.replace("foo", "bar")},
    ),
    Task(
        name="delete a file",
        prompt="Delete the file b.txt.",
        files={"a.txt": "keep me\n", "b.txt": "remove me\n"},
        after={"b.txt": None},
    ),
    Task(
        name="find a version",
        prompt="What is the version in pyproject.toml?",
        files={"pyproject.toml": '[project]\nname = "tulip"\nversion = "4.17.2"\nrequires-python = ">=3.11"\n'},
        says="4.17.2",
    ),
    Task(
        name="change a setting",
        prompt="In settings.ini change the port from 80 to 8081.",
        files={"settings.ini": "[server]\nhost = localhost\nport = 80\ntimeout = 80\n"},
        after={"settings.ini": "[server]\nhost = localhost\nport = 8081\ntimeout = 80\n"},
    ),
    Task(
        name="append a line",
        prompt="Add the line milk at the end of shopping.txt.",
        files={"shopping.txt": "bread\napples\n"},
        after={"shopping.txt": "bread\napples\nmilk\n"},
    ),
    Task(
        name="copy a file",
        prompt="Copy config.json to backup/config.json.",
        files={"config.json": '{"depth": 3, "name": "tulip"}\n'},
        after={"backup/config.json": '{"depth": 3, "name": "tulip"}\n'},
    ),
    Task(
        name="run a program",
        prompt="Run python3 secret.py and tell me what it prints.",
        files={"secret.py": "print(271 * 11 + 5)\n"},
        says="2986",
    ),
    Task(
        name="count lines",
        prompt="How many lines does data.csv have?",
        files={"data.csv": "".join(f"{number},{number * number}\n" for number in range(137))},
        says="137",
    ),
    Task(
        name="find a text",
        prompt="Which file contains the word marmalade?",
        files={
            "notes/monday.txt": "toast and tea\n",
            "notes/tuesday.txt": "toast and marmalade\n",
            "notes/wednesday.txt": "porridge\n",
        },
        says="tuesday.txt",
    ),
)
