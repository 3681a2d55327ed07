"""SIGHUP: what changes in a configuration that is read anew while the server serves."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, ServerProcess, eventually

KEYS = ("a-key-that-is-long-enough-0f3a9c", "another-key-long-enough-77b1e2")


class Configured(ServerProcess):
    """A server with a configuration file."""

    def configure(self, backend: ScriptedBackend, **sections: Any) -> None:
        """Write the file."""
        generator = {"base_url": backend.base_url, "context_window": 32768}
        self.write(yaml.safe_dump({"models": {"generator": generator}, **sections}))

    def write(self, text: str) -> None:
        """Write the file as it is."""
        (self.folder / "config.yaml").write_text(text)

    def reload(self) -> str:
        """Have it read anew; gives what the server says of it."""
        printed = len(self.log)
        os.kill(self.pid, signal.SIGHUP)
        eventually(lambda: "reloaded" in self.log[printed:])
        return self.log[printed:]

    def client(self, key: str = "any") -> OpenAI:
        """An SDK with that key."""
        return OpenAI(base_url=self.base_url, api_key=key, max_retries=0, timeout=60)


@pytest.fixture
def server(tmp_path: Path, backend: ScriptedBackend) -> Iterator[Configured]:
    process = Configured(tmp_path, {})
    process.configure(backend)
    process.start()
    yield process
    process.stop(signal.SIGKILL)


def said(client: OpenAI) -> str:
    return client.responses.create(model=MODEL, input="Who is there?").output_text


def test_new_runs_use_the_new_model_and_running_ones_end_with_the_old(
    server: Configured, backend: ScriptedBackend
) -> None:
    hold = threading.Event()
    backend.script = in_turn(Reply(["The ", "old one."], hold=hold))
    with ScriptedBackend(in_turn(Reply(["The new one."]))) as other, server.client() as client:
        with client.responses.create(model=MODEL, input="Who is there?", stream=True) as stream:
            next(event for event in stream if event.type == "response.output_text.delta")
            server.configure(other, tools={"output_chars": 5000})
            said_of_it = server.reload()
            assert "models" in said_of_it
            assert "A restart is needed for tools" in said_of_it
            eventually(lambda: said(client) == "The new one.")
            hold.set()
            *_, last = stream
            assert last.type == "response.completed"
            assert last.response.output_text == "The old one."
        health = client.get("/../health", cast_to=dict[str, Any])
        assert health["backends"]["generator"]["reachable"] is True


def test_keys_are_taken_up_and_dropped(server: Configured, backend: ScriptedBackend) -> None:
    for new, old in (KEYS, KEYS[::-1]):
        server.configure(backend, auth={"enabled": True, "api_keys": [{"key": new, "tenant_id": "me"}]})
        server.reload()
        with server.client(new) as known, server.client(old) as unknown:
            assert said(known) == "Hello there."
            with pytest.raises(openai.AuthenticationError):
                said(unknown)


def test_a_wrong_configuration_changes_nothing(server: Configured) -> None:
    for text, named in (
        ("auth: {enabled: perhaps}", "auth.enabled"),
        ("models: {generator: {model: /no/such/weights.gguf}}", "weights.gguf"),
        ("models: [", "config.yaml"),
    ):
        server.write(text)
        said_of_it = server.reload()
        assert "not reloaded" in said_of_it
        assert named in said_of_it
    with server.client() as client:
        assert said(client) == "Hello there."
