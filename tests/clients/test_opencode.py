"""opencode, headless, as people use it, over each API: it talks, and its tools do what the generator wants done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.opencode import OpenCode
from evals.scripted import Reply, ScriptedBackend
from tests.clients.support import (
    Intent,
    Play,
    Turn,
    awkward_lines,
    block,
    failing_turns,
    git_repository,
    installed,
    needs_clients,
    spoken,
)
from tests.support import MODEL, ServerProcess

pytestmark = [pytest.mark.slow, needs_clients]

APIS = ("chat", "responses")


def opencode(home: Path, server: ServerProcess, api: Any, *, output: int = 8192, steps: int | None = None) -> OpenCode:
    """An opencode on `server`."""
    binary = installed("opencode")
    return OpenCode(binary, home, server.base_url, MODEL, api, context=128_000, output=output, steps=steps)


def bash(command: str) -> tuple[str, dict[str, str]]:
    return "bash", {"command": command, "description": "Runs a command"}


@pytest.mark.parametrize("api", APIS)
def test_two_turns_are_one_conversation(
    api: str, server: ServerProcess, backend: ScriptedBackend, tmp_path: Path
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        last = spoken(body["messages"][-1])
        return Reply([f"You said: {'blue' if 'blue' in last else 'green' if 'green' in last else 'a title'}."])

    backend.script = script
    client = opencode(tmp_path, server, api)
    assert client.run("My colour is blue.").text == "You said: blue."
    assert client.run("--continue", "Mine is green.").text == "You said: green."
    last = backend.calls[-1].body["messages"]
    said = [spoken(message) for message in last][-3:]
    assert "blue" in said[0]
    assert said[1] == "You said: blue."
    assert "green" in said[2]
    # The second turn begins, byte for byte, with what the first one sent: the backend's cache holds.
    asked = [call.body["messages"] for call in backend.calls if "blue" in spoken(call.body["messages"][-1])]
    assert any(last[: len(first)] == first for first in asked)


def test_embedded_model_holds_the_conversation(embedded_server: ServerProcess, tmp_path: Path) -> None:
    # The embedded model may wander, from one tool to the next: opencode asks for no more than this.
    client = opencode(tmp_path, embedded_server, "chat", output=64, steps=1)
    spent = "select count(*) from usage where outcome in ('completed', 'incomplete') and completion > 0"
    before = embedded_server.rows(spent)[0][0]
    client.run("Say hello in one short sentence.")
    client.run("--continue", "What did I ask you before?")
    assert embedded_server.rows(spent)[0][0] >= before + 2


@pytest.mark.parametrize("api", APIS)
def test_a_file_is_read_and_another_written(
    api: str, tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    client = opencode(tmp_path, tool_server, api)
    git_repository(client.folder, {"colour.txt": "a deep blue\n"})
    read = Intent("read colour.txt", calls=[("read", {"filePath": str(client.folder / "colour.txt")})])
    write = Intent(
        "write block FILE to out/answer.txt",
        blocks={"FILE": "the colour:\ta deep blue\n"},
        calls=[("write", {"filePath": str(client.folder / "out/answer.txt"), "content": block("FILE")})],
    )
    script = play(Turn("I'll look.", intents=[read]), Turn(intents=[write]), Turn("It is a deep blue."))
    session = client.run("Which colour is it? Write it to out/answer.txt.")
    assert session.tools == ["read", "write"]
    assert session.text == "I'll look.\nIt is a deep blue."
    assert (client.folder / "out/answer.txt").read_bytes() == b"the colour:\ta deep blue\n"
    assert len(script.prompts) == 3
    assert str(script.prompts[-1]).count("1: a deep blue") == 1
    assert_prefixes(script)


@pytest.mark.parametrize("api", APIS)
def test_calls_of_one_turn_run_once_each(
    api: str, tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    client = opencode(tmp_path, tool_server, api)
    git_repository(client.folder, {"a.txt": "alpha\n"})
    both = Intent("count up to two", calls=[bash("printf 'ran-%d\\n' 1 >> ran"), bash("printf 'ran-%d\\n' 2 >> ran")])
    other = Intent("and to three", calls=[bash("printf 'ran-%d\\n' 3 | tee -a ran")])
    script = play(Turn("All at once.", intents=[both, other]), Turn("Three."))
    session = client.run("Count.")
    assert sorted((client.folder / "ran").read_text().split()) == ["ran-1", "ran-2", "ran-3"]
    assert session.tools == ["bash"] * 3
    assert str(script.prompts[-1]).count("ran-3") == 1
    assert session.text == "All at once.\nThree."


@pytest.mark.parametrize("api", APIS)
def test_bytes_of_a_long_file_survive(
    api: str, tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    client = opencode(tmp_path, tool_server, api)
    content = "".join(awkward_lines())
    git_repository(client.folder, {"windows.txt": "first\r\n\tsecond\r\nthird\r\n"})
    written, windows = client.folder / "long.txt", client.folder / "windows.txt"
    write = Intent(
        "write block FILE to long.txt",
        blocks={"FILE": content},
        calls=[("write", {"filePath": str(written), "content": block("FILE")})],
    )
    read = Intent("read windows.txt", calls=[("read", {"filePath": str(windows)})])
    old, new = "\tsecond\r\nthird", '\t"""zweite""" Größe\r\n<<<\r\n>>>OLD2\r\nthird'
    edit = Intent(
        "in windows.txt replace block OLD with block NEW",
        blocks={"OLD": old, "NEW": new},
        calls=[("edit", {"filePath": str(windows), "oldString": block("OLD"), "newString": block("NEW")})],
    )
    play(Turn("A long one.", intents=[write, read]), Turn(intents=[edit]), Turn("Written."))
    session = client.run("Write it.")
    assert sorted(session.tools) == ["edit", "read", "write"]
    assert [execution.status for execution in session.executions] == ["completed"] * 3, session
    assert written.read_bytes() == content.encode()
    assert windows.read_bytes() == f"first\r\n{new}\r\n".encode()


@pytest.mark.parametrize("api", APIS)
def test_models_that_fail_run_nothing_twice(
    api: str, tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    client = opencode(tmp_path, tool_server, api)
    git_repository(client.folder, {"a.txt": "alpha\n"})
    turns = failing_turns(bash)
    script = play(*turns, Turn("All ran."))
    session = client.run("Run them.")
    ran = [f"ran-{number}\n" for number in range(1, len(turns) + 1)]
    assert (client.folder / "ran").read_text() == "".join(ran)
    assert [execution.output for execution in session.executions] == ran
    assert session.text.endswith("All ran.")
    assert [str(script.prompts[-1]).count(line.strip()) for line in ran] == [1] * len(ran)


SOURCE = '''"""Words of a text."""


def words(text):
    """The words, in order."""
    return text.split(" ")


def count(text):
    """How often each word stands in the text."""
    counts = {}
    for word in words(text):
        counts[word] = 1
    return counts
'''

TESTS = {
    "wordcount/__init__.py": "",
    "wordcount/text.py": SOURCE,
    "tests/__init__.py": "",
    "tests/test_text.py": """import unittest

from wordcount.text import count, words


class TextTest(unittest.TestCase):
    def test_words_are_parted_at_any_white_space(self):
        self.assertEqual(words("one\\ttwo\\n  three"), ["one", "two", "three"])

    def test_words_are_counted(self):
        self.assertEqual(count("a b a"), {"a": 2, "b": 1})
""",
    "tests/test_report.py": """import unittest

from wordcount.report import top


class ReportTest(unittest.TestCase):
    def test_most_frequent_words_come_first(self):
        self.assertEqual(top("b a b c a b", 2), ["b", "a"])
""",
}

REPORT = '''"""Which words matter."""

from wordcount.text import count


def top(text, most):
    """The `most` frequent words, the most frequent one first."""
    counts = count(text)
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]
'''


def test_a_coding_session_makes_failing_tests_pass(
    tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    client = opencode(tmp_path, tool_server, "responses")
    git_repository(client.folder, TESTS)
    source, report = str(client.folder / "wordcount/text.py"), str(client.folder / "wordcount/report.py")
    tests = Intent("run the tests", calls=[bash(f"{sys.executable} -B -m unittest 2>&1")])

    def replace(old: str, new: str) -> Intent:
        edit = {"filePath": source, "oldString": block("OLD"), "newString": block("NEW")}
        words = f"in wordcount/text.py replace block OLD with block NEW, {len(new)} characters"
        return Intent(words, blocks={"OLD": old, "NEW": new}, calls=[("edit", edit)])

    def read(name: str) -> Intent:
        return Intent(f"read the file {name}", calls=[("read", {"filePath": str(client.folder / name)})])

    todos = [{"content": "Mend wordcount", "status": "completed", "priority": "high"}]
    script = play(
        Turn("First the files.", intents=[Intent("list the files", calls=[bash("git ls-files")])]),
        Turn(intents=[tests]),
        Turn("Now both sides.", intents=[read("wordcount/text.py"), read("tests/test_text.py")]),
        Turn("words and count are wrong, and wordcount.report is missing."),
        Turn(intents=[replace('    return text.split(" ")', "    return text.split()")]),
        Turn(intents=[replace("        counts[word] = 1", "        counts[word] = counts.get(word, 0) + 1")]),
        Turn(intents=[tests]),
        Turn("The rest needs a module.", intents=[read("tests/test_report.py")]),
        Turn("wordcount/text.py is mended. Shall I write wordcount/report.py?"),
        Turn(
            intents=[
                Intent(
                    "create wordcount/report.py with block FILE",
                    blocks={"FILE": REPORT},
                    calls=[("write", {"filePath": report, "content": block("FILE")})],
                )
            ]
        ),
        Turn(intents=[tests]),
        Turn(intents=[Intent("note what is done", calls=[("todowrite", {"todos": todos})])]),
        Turn(
            intents=[
                Intent(
                    "commit everything",
                    calls=[
                        bash(
                            "git add --all && git -c user.name=Test -c user.email=test@localhost"
                            " commit --quiet --message 'Mend wordcount' && git status --short"
                        )
                    ],
                )
            ]
        ),
        Turn("All tests pass."),
    )
    first = client.run("The tests fail. Why?")
    assert first.tools[:2] == ["bash", "bash"]
    assert sorted(first.tools[2:]) == ["read", "read"]
    assert "FAILED" in first.executions[1].output
    second = client.run("--continue", "Mend wordcount/text.py.")
    assert second.tools == ["edit", "edit", "bash", "read"]
    assert "No module named 'wordcount.report'" in second.executions[2].output
    third = client.run("--continue", "Yes, and commit.")
    assert third.tools == ["write", "bash", "todowrite", "bash"]
    assert "\nOK" in third.executions[1].output
    assert third.text == "All tests pass."
    executions = [*first.executions, *second.executions, *third.executions]
    assert [execution for execution in executions if execution.status != "completed"] == []
    assert (client.folder / "wordcount/report.py").read_text() == REPORT
    assert_prefixes(script)


def assert_prefixes(script: Play) -> None:
    """Each prompt begins, byte for byte, with the one before it."""
    for earlier, later in zip(script.prompts, script.prompts[1:], strict=False):
        assert later[: len(earlier)] == earlier
