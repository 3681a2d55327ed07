"""opencode, headless, as people use it: its configuration, its home, and what it reports."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

type Api = Literal["chat", "responses"]

_PACKAGES = {"chat": "@ai-sdk/openai-compatible", "responses": "@ai-sdk/openai"}
_PATIENCE = 400.0  # seconds


class OpenCodeFailed(Exception):
    """It ended with an error, or not in time; the message is what it printed."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One call that opencode executed.

    Attributes:
        tool: the tool's name.
        status: `completed` or `error`.
        arguments: what it was called with.
        output: what came of it, as the model reads it.
    """

    tool: str
    status: str
    arguments: dict[str, Any]
    output: str


@dataclass(frozen=True, slots=True)
class Session:
    """What one run of opencode reported.

    Attributes:
        text: what it told the user, in all turns of the run.
        executions: the calls, in the order in which they ended.
    """

    text: str
    executions: tuple[Execution, ...]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that were executed."""
        return [execution.tool for execution in self.executions]


class OpenCode:
    """An opencode with its own home, in its own folder, pointed at one server.

    Args:
        binary: its path.
        home: where it keeps its data; the folder it works in is `home / "project"`, made here.
        base_url: of the server, with `/v1`.
        model: what it asks for.
        api: which API it speaks.
        context: the tokens of the model's window that it plans with.
        output: the tokens that it asks for in one answer.
        steps: after so many turns it offers no tools any more, and the model has to answer; None is opencode's own.
    """

    def __init__(
        self,
        binary: str,
        home: Path,
        base_url: str,
        model: str,
        api: Api,
        *,
        context: int,
        output: int,
        steps: int | None = None,
    ) -> None:
        self.folder = home / "project"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._binary = binary
        models = {model: {"name": model, "limit": {"context": context, "output": output}}}
        options = {"baseURL": base_url, "apiKey": "any"}
        provider = {"npm": _PACKAGES[api], "options": options, "models": models}
        config: dict[str, Any] = {"provider": {"served": provider}, "model": f"served/{model}", "autoupdate": False}
        if steps is not None:
            config["agent"] = {"build": {"steps": steps}}
        # Not in the project: that is the files that the model works on.
        file = home / "opencode.json"
        file.write_text(json.dumps(config))
        homes = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("DATA", "CONFIG", "CACHE", "STATE")}
        # It takes its folder from PWD, which a new process inherits from this one.
        here = {"PWD": str(self.folder), "OPENCODE_CONFIG": str(file), "OPENCODE_DISABLE_MODELS_FETCH": "1"}
        self._environment = {**os.environ, **homes, **here}

    def run(self, *arguments: str, patience: float = _PATIENCE) -> Session:
        """Run it once, until its end.

        Args:
            arguments: options, then the prompt.
            patience: seconds that it may take.

        Raises:
            OpenCodeFailed: it did not end well, or not in time.
        """
        # It would put an argument that has spaces into quotation marks.
        words = [word for argument in arguments for word in argument.split(" ")]
        try:
            done = subprocess.run(
                [self._binary, "run", "--format", "json", *words],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise OpenCodeFailed(f"not over after {patience:.0f} s") from error
        events = list(_events(done.stdout))
        errors = [event["error"] for event in events if event["type"] == "error"]
        if done.returncode != 0 or errors:
            raise OpenCodeFailed(f"{errors or done.stdout}\n{done.stderr}")
        parts = [event["part"] for event in events if "part" in event]
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        return Session(text, tuple(_execution(part) for part in parts if part["type"] == "tool"))


def _events(printed: str) -> Iterator[dict[str, Any]]:
    for line in printed.split("\n"):
        if line.startswith("{"):
            yield json.loads(line)


def _execution(part: dict[str, Any]) -> Execution:
    state = part["state"]
    output = state.get("output", state.get("error", ""))
    return Execution(part["tool"], state["status"], state.get("input") or {}, output)
