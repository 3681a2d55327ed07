"""opencode, headless, as people use it: two turns over each API. `TEST_OPENCODE` is the path of its binary."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from evals.scripted import Reply, ScriptedBackend
from tests.support import MODEL, ServerProcess

OPENCODE = os.environ.get("TEST_OPENCODE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(OPENCODE is None, reason="TEST_OPENCODE does not name opencode's binary"),
]

APIS = {"chat": "@ai-sdk/openai-compatible", "responses": "@ai-sdk/openai"}


class OpenCode:
    """An opencode with its own home, in its own empty folder, pointed at `server`."""

    def __init__(self, home: Path, server: ServerProcess, api: str) -> None:
        self.folder = home / "project"
        self.folder.mkdir(parents=True)
        options = {"baseURL": server.base_url, "apiKey": "any"}
        # The embedded model may wander; opencode asks for no more than this.
        limits = {"context": 8192, "output": 64}
        provider = {"npm": APIS[api], "options": options, "models": {MODEL: {"name": "RANTS", "limit": limits}}}
        config = {"provider": {"rants": provider}, "model": f"rants/{MODEL}", "autoupdate": False}
        (self.folder / "opencode.json").write_text(json.dumps(config))
        homes = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
        # It takes its folder from PWD, which a new process inherits from this one.
        here = {"PWD": str(self.folder), "OPENCODE_DISABLE_MODELS_FETCH": "1"}
        self._environment = {**os.environ, **homes, **here}

    def run(self, *arguments: str) -> str:
        """Run it without a terminal; what it prints."""
        assert OPENCODE is not None
        done = subprocess.run(
            [OPENCODE, "run", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def text_of(content: Any) -> str:
    """A message's text, whichever form it has."""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content or ())


@pytest.mark.parametrize("api", APIS)
def test_two_turns_are_one_conversation(
    api: str, server: ServerProcess, backend: ScriptedBackend, tmp_path: Path
) -> None:
    def script(body: dict[str, Any]) -> Reply:
        last = text_of(body["messages"][-1]["content"])
        return Reply([f"You said: {'blue' if 'blue' in last else 'green' if 'green' in last else 'a title'}."])

    backend.script = script
    opencode = OpenCode(tmp_path, server, api)
    assert "You said: blue." in opencode.run("My colour is blue.")
    assert "You said: green." in opencode.run("--continue", "Mine is green.")
    last = backend.calls[-1].body["messages"]
    spoken = [text_of(message["content"]) for message in last if message["role"] != "system"]
    assert "blue" in spoken[0]
    assert "You said: blue." in spoken[1]
    assert "green" in spoken[-1]
    # The second turn begins, byte for byte, with what the first one sent: the backend's cache holds.
    asked = [call.body["messages"] for call in backend.calls if "blue" in text_of(call.body["messages"][-1]["content"])]
    assert any(last[: len(first)] == first for first in asked)


@pytest.mark.parametrize("api", APIS)
def test_embedded_model_holds_the_conversation(api: str, embedded_server: ServerProcess, tmp_path: Path) -> None:
    opencode = OpenCode(tmp_path, embedded_server, api)
    spent = "select count(*) from usage where outcome in ('completed', 'incomplete') and completion > 0"
    before = embedded_server.rows(spent)[0][0]
    opencode.run("Say hello in one short sentence.")
    opencode.run("--continue", "What did I ask you before?")
    assert embedded_server.rows(spent)[0][0] >= before + 2
