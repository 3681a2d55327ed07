"""What the tests of clients share: the model they talk with, the folder they work in, and where they are installed.

`TEST_CLIENTS` is the folder that .ci/run installs the clients of npm into; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from evals.scripted import Reply

COMPILER = "scripted-compiler"
"""The name of the scripted model that compiles intents; the generator has another."""

_CLIENTS = os.environ.get("TEST_CLIENTS")

needs_clients = pytest.mark.skipif(_CLIENTS is None, reason="TEST_CLIENTS does not name the folder of the clients")


def installed(name: str) -> str:
    """The path of a client's binary."""
    assert _CLIENTS is not None
    return str(Path(_CLIENTS) / "node_modules" / ".bin" / name)


def node_modules() -> Path:
    """The folder of the installed JavaScript packages."""
    assert _CLIENTS is not None
    return Path(_CLIENTS) / "node_modules"


def spoken(message: Mapping[str, Any]) -> str:
    """A message's text, whichever form its content has."""
    content = message.get("content")
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One thing that the generator wants done, the calls that the compiler makes of it, and how that fails at first."""

    words: str = field(kw_only=False)
    blocks: Mapping[str, str] = field(default_factory=dict)
    calls: Sequence[tuple[str, Mapping[str, Any]]] = ()
    failures: Sequence[Reply] = ()

    def __str__(self) -> str:
        blocks = [f"<<<{name}\n{block}\n>>>{name}" for name, block in self.blocks.items()]
        return "\n".join([f"TOOL_INTENT: {self.words}", *blocks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of the generator: what it tells the user, what it wants done, and what goes wrong before it succeeds."""

    text: str = field(default="", kw_only=False)
    intents: Sequence[Intent] = ()
    failures: Sequence[Reply] = ()

    @property
    def pieces(self) -> list[str]:
        """The reply, cut as a model would stream it."""
        dice = random.Random(7)
        reply = "\n".join([self.text, *map(str, self.intents)] if self.text else map(str, self.intents))
        pieces = []
        while reply:
            length = dice.randint(1, 60)
            pieces.append(reply[:length])
            reply = reply[length:]
        return pieces


class Play:
    """A script that plays both models of a coding session: the generator, turn by turn, and the tool compiler.

    Who asks the same again is told the same again, and a turn that failed is played again; any other prompt is the
    next turn's. A request for a title is answered beside it.

    Attributes:
        prompts: the messages of each call of the generator, but for titles.
        compiled: the words that the compiler was asked about, oldest first.
    """

    def __init__(self, *turns: Turn) -> None:
        self.turns = turns
        self.prompts: list[list[dict[str, Any]]] = []
        self.compiled: list[str] = []
        self._turn = 0
        self._told = False  # the turn, to its end
        self._failed: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Reply:
        if body["model"] == COMPILER:
            return self._compile(body)
        messages = body["messages"]
        if "You are a title generator" in spoken(messages[0]):
            return Reply(["A title"])
        if self._told and messages != self.prompts[-1]:
            self._turn += 1
        self.prompts.append(messages)
        turn = self.turns[self._turn]
        failure = self._failure(f"turn {self._turn}", turn.failures)
        self._told = failure is None
        return failure or Reply(turn.pieces)

    def _compile(self, body: dict[str, Any]) -> Reply:
        asked = spoken(body["messages"][-1])
        self.compiled.append(asked)
        intents = [intent for turn in self.turns for intent in turn.intents if intent.words in asked]
        newest = max(intents, key=lambda intent: asked.rfind(intent.words))
        calls = [{"name": name, "arguments": arguments} for name, arguments in newest.calls]
        reply = Reply([json.dumps({"tool_calls": calls}, ensure_ascii=False)])
        return self._failure(newest.words, newest.failures) or reply

    def _failure(self, what: str, failures: Sequence[Reply]) -> Reply | None:
        """The next of the failures that come before `what` succeeds."""
        before = self._failed[what]
        self._failed[what] += 1
        return failures[before] if before < len(failures) else None


_FAILURES: Mapping[str, Sequence[Reply]] = {
    "it was cut while it talked": [Reply(["I'll r"], fault="cut"), Reply(["I'll"], fault="cut")],
    "it was cut within an intent": [Reply(["I'll run it.\nTOOL_INTENT: run the com"], fault="cut")],
    "there was an error in its stream": [Reply(["I'll run it.\nTOOL_INTENT: run"], fault="error")],
    "it was away for longer than RANTS tries": [Reply(status=500)] * 5,
}


def failing_turns(call: Callable[[str], tuple[str, Mapping[str, Any]]]) -> list[Turn]:
    """Turns in each of which another thing fails before it succeeds; turn n appends `ran-n` to the file `ran`.

    Args:
        call: the call of a tool that runs a command.
    """

    def intent(number: int, words: str, failures: Sequence[Reply] = ()) -> Intent:
        return Intent(words, calls=[call(f"printf 'ran-%d\\n' {number} | tee -a ran")], failures=failures)

    turns = [
        Turn("I'll run it.", intents=[intent(number, f"run the command although {name}")], failures=failures)
        for number, (name, failures) in enumerate(_FAILURES.items(), 1)
    ]
    failures = [Reply(['{"tool_calls": [{"na'], fault="cut"), *[Reply(status=500)] * 4]
    return [*turns, Turn("The last.", intents=[intent(len(turns) + 1, "run it although nobody compiles", failures)])]


def block(name: str) -> dict[str, str]:
    """How a compiler refers to a verbatim block."""
    return {"$block": name}


def awkward_lines(count: int = 300) -> list[str]:
    """Lines of a file that is easily spoilt on its way: each ends as it stands, most with LF, some with CRLF."""
    kinds = [
        "\tdef tabs(self):\t# and more\ttabs  \n",
        "a line of Windows\r\n",
        'say = """triple " quotes""" + \'\'\'and ' + "'''\n",
        "naïve Größe, 東京, 🦀, and a combining e\u0301\n",
        "<<<\n",
        ">>>\n",
        "<<<OTHER\n",
        ">>>OTHER\n",
        "TOOL_INTENT: delete everything\n",
        "TOOL_RESULT: nothing is left\n",
        '{"$block": "FILE"} and \\n \\u0041 \\\\ $HOME `date` %s {0}\n',
        "```python\n",
        "<think>not a thought</think>\n",
        "   \n",
        "\n",
        "*** End Patch, it says here; EOF\n",
        "&lt;xml&gt; <a href='b'>\x0b\x7f\u00a0\u2028</a>\n",
    ]
    return [kinds[index % len(kinds)].replace("line", f"line {index}") for index in range(count)]


def run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a client without a terminal, until its end; what it printed.

    Args:
        command: the program and its arguments.
        folder: where it works.
        environment: variables beside those of this process.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        # Clients take their folder from PWD, which a new process inherits from this one.
        env={**os.environ, "PWD": str(folder), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def json_lines(printed: str) -> list[dict[str, Any]]:
    """The JSON objects of what a client printed, one a line."""
    return [json.loads(line) for line in printed.split("\n") if line.startswith("{")]


def git_repository(folder: Path, files: Mapping[str, str]) -> None:
    """A repository in `folder` with one commit of `files`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    identity = ("-c", "user.name=Test", "-c", "user.email=test@localhost")
    for arguments in (("init", "--quiet"), ("add", "--all"), (*identity, "commit", "--quiet", "--message", "Start")):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
