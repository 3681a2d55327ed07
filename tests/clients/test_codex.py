"""Codex, headless, over `/v1/responses`, configured as the README says: its commands and patches are carried out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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
    json_lines,
    needs_clients,
    run,
    spoken,
)
from tests.support import ServerProcess

pytestmark = [pytest.mark.slow, needs_clients]

README = Path(__file__).parents[2] / "README.md"


def config(server: ServerProcess) -> str:
    """The configuration that the README tells people to write, for `server`."""
    written = re.search(r"```toml\n(.*?)```", README.read_text(), re.DOTALL)
    assert written is not None
    return written[1].replace("http://127.0.0.1:8000/v1", server.base_url)


@dataclass(frozen=True, slots=True)
class Session:
    """What one run of Codex reported: what it told the user, and the items that it carried out."""

    text: str
    done: list[dict[str, Any]]

    @property
    def commands(self) -> list[str]:
        """What the commands printed, in the order in which they ended."""
        return [item["aggregated_output"] for item in self.done if item["type"] == "command_execution"]


class Codex:
    """A Codex with its own home, in a repository of its own, pointed at `server`."""

    def __init__(self, home: Path, server: ServerProcess) -> None:
        self.folder = home / "project"
        self.folder.mkdir()
        self._home = home / "codex"
        self._home.mkdir()
        (self._home / "config.toml").write_text(config(server))

    def run(self, *arguments: str) -> Session:
        """Run it once, until its end. The tests may run where its sandbox cannot: the folder is thrown away."""
        command = [installed("codex"), "exec", "--json", "--dangerously-bypass-approvals-and-sandbox", *arguments]
        events = json_lines(run(command, self.folder, {"CODEX_HOME": str(self._home)}))
        items = [event["item"] for event in events if event["type"] == "item.completed"]
        text = "\n".join(item["text"] for item in items if item["type"] == "agent_message")
        return Session(text, [item for item in items if item["type"] in ("command_execution", "file_change")])


@pytest.fixture
def codex(tool_server: ServerProcess, tmp_path: Path) -> Codex:
    client = Codex(tmp_path, tool_server)
    git_repository(client.folder, {"colour.txt": "a deep blue\n", "windows.txt": "first\r\n\tsecond\r\nthird\r\n"})
    return client


def shell(command: Any) -> tuple[str, dict[str, Any]]:
    return "exec_command", {"cmd": command}


def patch(lines: str) -> str:
    """The command that Codex itself carries out as a patch."""
    return f"apply_patch <<'END'\n*** Begin Patch\n{lines}*** End Patch\nEND"


def test_two_turns_are_one_conversation(codex: Codex, backend: ScriptedBackend) -> None:
    def script(body: dict[str, Any]) -> Reply:
        return Reply([f"You said: {'blue' if 'blue' in spoken(body['messages'][-1]) else 'green'}."])

    backend.script = script
    assert codex.run("My colour is blue.").text == "You said: blue."
    assert codex.run("resume", "--last", "Mine is green.").text == "You said: green."
    first, last = (call.body["messages"] for call in backend.calls)
    assert last[: len(first)] == first
    assert "You said: blue." in spoken(last[len(first)])


def test_a_file_is_read_and_another_written(codex: Codex, play: Callable[..., Play]) -> None:
    read = Intent("show colour.txt", calls=[shell("cat colour.txt")])
    write = Intent(
        "apply the patch in block PATCH",
        blocks={"PATCH": patch("*** Add File: out/answer.txt\n+the colour:\ta deep blue\n")},
        calls=[shell(block("PATCH"))],
    )
    script = play(Turn("I'll look.", intents=[read]), Turn(intents=[write]), Turn("It is a deep blue."))
    session = codex.run("Which colour is it? Write it to out/answer.txt.")
    assert [item["type"] for item in session.done] == ["command_execution", "file_change"]
    assert session.commands == ["a deep blue\n"]
    assert session.text == "I'll look.\nIt is a deep blue."
    assert (codex.folder / "out/answer.txt").read_bytes() == b"the colour:\ta deep blue\n"
    assert str(script.prompts[-1]).count("Output:\\na deep blue") == 1
    assert_prefixes(script)


def test_calls_of_one_turn_run_once_each(codex: Codex, play: Callable[..., Play]) -> None:
    both = Intent("count to two", calls=[shell("printf 'ran-%d\\n' 1 >> ran"), shell("printf 'ran-%d\\n' 2 >> ran")])
    other = Intent("and to three", calls=[shell("printf 'ran-%d\\n' 3 | tee -a ran")])
    script = play(Turn("All at once.", intents=[both, other]), Turn("Three."))
    session = codex.run("Count.")
    assert sorted((codex.folder / "ran").read_text().split()) == ["ran-1", "ran-2", "ran-3"]
    assert sorted(session.commands) == ["", "", "ran-3\n"]
    assert str(script.prompts[-1]).count("ran-3") == 1
    assert session.text == "All at once.\nThree."


def test_bytes_of_a_long_file_survive(codex: Codex, play: Callable[..., Play]) -> None:
    content = "".join(awkward_lines())
    # Codex reads a patch line by line, and takes a carriage return for a part of the line's end.
    patched = content.replace("\r", "")
    write = Intent(
        "run the script in block SCRIPT",
        blocks={"SCRIPT": f"cat > long.txt <<'END OF FILE'\n{content}END OF FILE"},
        calls=[shell(block("SCRIPT"))],
    )
    added = "".join(f"+{line}\n" for line in patched.removesuffix("\n").split("\n"))
    add = Intent(
        "apply block PATCH",
        blocks={"PATCH": patch(f"*** Add File: patched.txt\n{added}")},
        calls=[shell(block("PATCH"))],
    )
    play(Turn("A long one.", intents=[write]), Turn(intents=[add]), Turn("Written."))
    session = codex.run("Write it.")
    assert [item["type"] for item in session.done] == ["command_execution", "file_change"]
    assert (codex.folder / "long.txt").read_bytes() == content.encode()
    assert (codex.folder / "patched.txt").read_bytes() == patched.encode()
    assert session.text == "A long one.\nWritten."


def test_models_that_fail_run_nothing_twice(codex: Codex, play: Callable[..., Play]) -> None:
    turns = failing_turns(shell)
    script = play(*turns, Turn("All ran."))
    session = codex.run("Run them.")
    ran = [f"ran-{number}\n" for number in range(1, len(turns) + 1)]
    assert (codex.folder / "ran").read_text() == "".join(ran)
    assert session.commands == ran
    assert session.text.endswith("All ran.")
    assert [str(script.prompts[-1]).count(line.strip()) for line in ran] == [1] * len(ran)
    # What was broken off is not told again.
    assert [spoken(message) for message in script.prompts[-1]].count("I'll r") == 0


def test_a_tool_of_a_namespace_is_called(codex: Codex, play: Callable[..., Play]) -> None:
    intent = Intent("close the agent nobody", calls=[("close_agent", {"target": "nobody"})])
    script = play(Turn(intents=[intent]), Turn("There is no such agent."))
    assert codex.run("Close the agent.").text == "There is no such agent."
    assert "invalid agent id nobody" in str(script.prompts[-1])


def assert_prefixes(script: Play) -> None:
    """Each prompt begins, byte for byte, with the one before it."""
    for earlier, later in zip(script.prompts, script.prompts[1:], strict=False):
        assert later[: len(earlier)] == earlier
