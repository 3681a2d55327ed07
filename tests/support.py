"""The real server in a process of its own, and how tests talk with it."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import chdir, closing, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, Self
from unittest.mock import patch

import httpx2
import openai
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from typer.testing import CliRunner

from server.cli import app, main

MODEL = "rants-one"

_RANTS = Path(sys.executable).with_name("rants")
_LISTENS = re.compile(r"listens on (http://[\d.]+:\d+)/v1")
_PATIENCE = 60.0  # seconds that a server may take to start or to stop on a busy machine


def eventually(happened: Callable[[], object], *, within: float = 10.0) -> None:
    """Wait until `happened` gives something true; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@cache
def _forks() -> ForkServerContext:
    """Processes that are forked from one in which everything is imported already: a server starts at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["server.cli", "server.app", "server.workers", "programs.backends.openai"])
    return context


class ServerProcess:
    """`rants serve` with its own working folder, database and log; it may be started again after it ended.

    Args:
        folder: where it runs.
        variables: its `RANTS_*` variables; those of the environment do not reach it.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.address = ""
        self.log_file = folder / "server.log"
        others = {name: value for name, value in os.environ.items() if not name.startswith("RANTS_")}
        self.environment = {**others, **variables}
        self._process: BaseProcess | None = None

    @property
    def base_url(self) -> str:
        """What a client takes as `base_url`."""
        return f"{self.address}/v1"

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def database_bytes(self) -> bytes:
        """What lies in the database's files, also what is not in its tables."""
        return b"".join(path.read_bytes() for path in self.folder.glob("var/rants.sqlite3*"))

    def start(self) -> Self:
        """Start it and wait until it answers."""
        printed = len(self.log)
        self._spawn()
        eventually(lambda: self._process_ended() or _LISTENS.search(self.log, printed), within=_PATIENCE)
        listens = _LISTENS.search(self.log, printed)
        assert listens, f"the server did not start:\n{self.log}"
        self.address = listens[1]
        eventually(lambda: self._process_ended() or self._answers(), within=_PATIENCE)
        assert not self._process_ended(), f"the server ended:\n{self.log}"
        return self

    @property
    def pid(self) -> int:
        """The process that was started last."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def _spawn(self) -> None:
        ends = (Path(os.devnull), self.log_file, self.log_file)
        arguments = (("serve", "--port", "0"), str(self.folder), self.environment, *ends)
        self._process = _forks().Process(target=_be, args=arguments, daemon=True)
        self._process.start()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; gives its exit code."""
        assert self._process is not None
        if self._process.is_alive():
            os.kill(self.pid, how)
        self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def command(self, *arguments: str) -> str:
        """Run a `rants` command beside it, with the same configuration; gives what it prints."""
        with chdir(self.folder), patch.dict(os.environ, self.environment, clear=True):
            done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the server's database."""
        with closing(sqlite3.connect(self.folder / "var" / "rants.sqlite3")) as database:
            return database.execute(statement, values).fetchall()

    def _process_ended(self) -> bool:
        return self._process is not None and not self._process.is_alive()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.address}/health/live").is_success
        except httpx2.TransportError:
            return False


class InstalledServer(ServerProcess):
    """The command as it is installed, which imports everything by itself and may have workers."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(folder, variables)
        self._command: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """See `ServerProcess`."""
        assert self._command is not None
        return self._command.pid

    def _spawn(self) -> None:
        with self.log_file.open("ab") as log:
            self._command = subprocess.Popen(
                [_RANTS, "serve", "--port", "0"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """See `ServerProcess`."""
        assert self._command is not None
        self._command.send_signal(how)
        try:
            return self._command.wait(_PATIENCE)
        finally:
            self._command.kill()

    def _process_ended(self) -> bool:
        return self._command is not None and self._command.poll() is not None


def command(
    *arguments: str, folder: Path, environment: Mapping[str, str], typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a `rants` command in a process of its own, as a shell does, that has imported everything already."""
    with TemporaryDirectory() as ends:
        said, out, err = (Path(ends, name) for name in ("in", "out", "err"))
        said.write_text(typed)
        ran = _forks().Process(target=_be, args=(arguments, str(folder), dict(environment), said, out, err))
        ran.start()
        ran.join()
        assert ran.exitcode is not None
        return subprocess.CompletedProcess(arguments, ran.exitcode, out.read_text(), err.read_text())


def _be(arguments: tuple[str, ...], folder: str, environment: dict[str, str], said: Path, out: Path, err: Path) -> None:
    """Be a command, in a process that was forked for it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    adding = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for descriptor, (path, flags) in enumerate(((said, os.O_RDONLY), (out, adding), (err, adding))):
        os.dup2(os.open(path, flags, 0o600), descriptor)
    sys.stdin = os.fdopen(0)  # multiprocessing has closed it
    sys.argv = ["rants", *arguments]
    main()


@contextmanager
def running(
    folder: Path, variables: Mapping[str, str], kind: type[ServerProcess] = ServerProcess
) -> Iterator[ServerProcess]:
    """A server that is stopped in the end, and has met no bug of ours."""
    server = kind(folder, variables).start()
    try:
        yield server
    finally:
        server.stop()
    assert "Traceback" not in server.log, server.log


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got, whichever API it used.

    Attributes:
        text: the whole text.
        ended: `stop` or `length`, or `failed` for an error after the stream had begun.
        code: of that error.
        usage: tokens of prompt and reply, where they were told.
    """

    text: str
    ended: str
    code: str | None = None
    usage: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """One of the four ways to ask the same thing."""

    api: Literal["chat", "responses"]
    stream: bool

    def __str__(self) -> str:
        return f"{self.api}-{'stream' if self.stream else 'whole'}"

    def ask(self, client: OpenAI, text: str = "Hello?") -> Answer:
        """Ask `text`.

        Raises:
            openai.APIError: the server refused before it sent anything.
        """
        if self.api == "chat":
            return _chat_stream(client, text) if self.stream else _chat(client, text)
        return _response_stream(client, text) if self.stream else _response(client, text)


WAYS = [Asking(api, stream) for api in ("chat", "responses") for stream in (False, True)]


def _chat(client: OpenAI, text: str) -> Answer:
    said = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])
    assert said.usage is not None
    spent = said.usage.prompt_tokens, said.usage.completion_tokens
    return Answer(said.choices[0].message.content or "", said.choices[0].finish_reason, usage=spent)


def _chat_stream(client: OpenAI, text: str) -> Answer:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": text}],
        stream=True,
        stream_options={"include_usage": True},
    )
    written, ended, spent = "", "", None
    with stream:
        try:
            for chunk in stream:
                for choice in chunk.choices:
                    written += choice.delta.content or ""
                    ended = choice.finish_reason or ended
                if chunk.usage is not None:
                    spent = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
        except openai.APIError as error:
            # The status came before the stream, so what comes now is an error inside it.
            return Answer(written, "failed", error.code)
    return Answer(written, ended, usage=spent)


def _response(client: OpenAI, text: str) -> Answer:
    return _answer_of(client.responses.create(model=MODEL, input=text))


def _response_stream(client: OpenAI, text: str) -> Answer:
    written = ""
    with client.responses.create(model=MODEL, input=text, stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                written += event.delta
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                answer = _answer_of(event.response)
    assert answer.text == written
    return answer


def _answer_of(response: Response) -> Answer:
    endings = {"completed": "stop", "incomplete": "length"}
    return Answer(
        response.output_text,
        endings.get(response.status or "", response.status or ""),
        response.error.code if response.error else None,
        (response.usage.input_tokens, response.usage.output_tokens) if response.usage else None,
    )


def sse(lines: Iterable[str]) -> Iterator[tuple[str | None, Any]]:
    """Each event of a stream of server-sent events: its name and its data; a comment has the name `:`."""
    name = None
    for line in lines:
        field, _, value = line.partition(":")
        match field:
            case "event":
                name = value.strip()
            case "data":
                yield name, value.strip() if value.strip() == "[DONE]" else json.loads(value)
                name = None
            case "" if line:
                yield ":", value.strip()


def response_events(answer: httpx2.Response) -> list[dict[str, Any]]:
    """The events of a stream of `/v1/responses`: each named as its type, of OpenAI's shape, numbered without a gap."""
    events = []
    for name, data in sse(answer.iter_lines()):
        assert name == data["type"]
        _EVENT_TYPES[data["type"]].model_validate(data)
        events.append(data)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return events


def _event_types() -> dict[str, Any]:
    union: Any = ResponseStreamEvent
    return {kind.model_fields["type"].annotation.__args__[0]: kind for kind in union.__origin__.__args__}


_EVENT_TYPES = _event_types()


def cut(text: str, dice: random.Random) -> list[str]:
    """`text` in pieces of one to eight characters."""
    pieces = []
    while text:
        length = dice.randint(1, 8)
        pieces.append(text[:length])
        text = text[length:]
    return pieces
