"""The SDKs' own agent loops, streamed and whole, over each API: the AI SDK, OpenAI's Agents SDK, LangChain."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.scripted import Reply
from tests.clients.support import (
    Intent,
    Play,
    Turn,
    awkward_lines,
    block,
    installed,
    json_lines,
    needs_clients,
    node_modules,
    run,
)
from tests.support import ServerProcess

pytestmark = [pytest.mark.slow, needs_clients]

PROGRAMS = Path(__file__).with_name("programs")
SDKS = ("ai_sdk.mjs", "agents_sdk.py", "langchain_agent.py")


def ask(program: str, server: ServerProcess, api: str, way: str, folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """Have a program answer; its final text, and the calls that it executed: their names and paths."""
    work = folder / "files"
    if program.endswith(".mjs"):
        # Node looks for packages beside the program.
        (folder / "node_modules").symlink_to(node_modules())
        shutil.copy(PROGRAMS / program, folder)
        command = [installed("node"), str(folder / program)]
    else:
        # Each in an environment of its own, so that what they pin does not decide what RANTS runs on.
        command = ["uv", "run", "--no-project", "--python", sys.executable, "--script", str(PROGRAMS / program)]
    lines = json_lines(run([*command, server.base_url, api, way, str(work), "Which colour?"], folder))
    return lines[-1]["text"], [(line["call"], line["path"]) for line in lines[:-1]]


@pytest.mark.parametrize("program", SDKS)
@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("way", ["whole", "stream"])
def test_calls_are_executed_once_and_their_results_come_back(
    program: str, api: str, way: str, tool_server: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "colour.txt").write_text("a deep blue\n")
    (files / "other.txt").write_text("a pale green\n")
    content = "".join(awkward_lines())
    look = Intent(
        "read both files", calls=[("read_file", {"path": "colour.txt"}), ("read_file", {"path": "other.txt"})]
    )
    write = Intent(
        "write block FILE to long.txt",
        blocks={"FILE": content},
        calls=[("write_file", {"path": "long.txt", "content": block("FILE")})],
    )
    script = play(
        Turn("I'll look. ", intents=[look], failures=[Reply(status=500)]), Turn(intents=[write]), Turn("A deep blue.")
    )
    text, executed = ask(program, tool_server, api, way, tmp_path)
    assert sorted(executed[:2]) == [("read_file", "colour.txt"), ("read_file", "other.txt")]
    assert executed[2:] == [("write_file", "long.txt")]
    assert (files / "long.txt").read_bytes() == content.encode()
    assert text.endswith("A deep blue.")
    prompt = str(script.prompts[-1])
    assert prompt.count("a deep blue") == prompt.count("a pale green") == 1
    assert len(script.prompts) == 4


def test_what_the_embedded_model_compiles_can_be_executed(
    embedded_compiler: ServerProcess, play: Callable[..., Play], tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "colour.txt").write_text("a deep blue\n")
    script = play(Turn("I'll look.", intents=[Intent("read the file colour.txt")]), Turn("I have looked."))
    text, executed = ask("agents_sdk.py", embedded_compiler, "chat", "stream", tmp_path)
    # Which file it takes is up to 135 million parameters; that the SDK can execute what they write is up to RANTS.
    assert executed
    assert text == "I have looked."
    assert len(script.prompts) == 2
