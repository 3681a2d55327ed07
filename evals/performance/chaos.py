"""Several gateways on one PostgreSQL, one of which is killed every few seconds: what was acknowledged must hold.

Clients ask whichever gateway is alive. What they were told is theirs: a response whose `response.completed` they have
seen can be read back, a background response whose id they have ends with the right answer, and what it does, it does
once. Each background response appends its number to one file with the tool bash, so that a second time would show.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from evals.performance.processes import Server, rants
from evals.performance.table import Line, show
from evals.scripted import Reply, ScriptedBackend

_MODEL = "rants-one"
_CLIENTS = 6
_FILE = "done.txt"
_BASH = [{"type": "mcp", "server_label": "rants", "allowed_tools": ["bash"]}]
_LEASE_SECONDS = 3
_UNHEARD = (aiohttp.ClientError, OSError, TimeoutError)
"""What a client meets when its gateway is killed. What it was not told by then, it does not count on."""


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        kills: how often a gateway was killed.
        acknowledged: foreground responses that clients saw completed, by id, with their texts.
        promised: background responses whose ids clients have, with their numbers.
        lost: acknowledged ones that could not be read back as they were.
        wrong: promised ones that did not end in time with the right answer, with what they ended in.
        twice: numbers that were done more than once.
    """

    kills: int = 0
    acknowledged: dict[str, str] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    wrong: dict[str, Any] = field(default_factory=dict)
    twice: list[int] = field(default_factory=list)


async def killing(url: str, *, seconds: float, every: float = 4.0, workers: int = 3, seed: int = 0) -> Outcome:
    """Kill gateways for a while, and then look.

    Args:
        url: of an empty PostgreSQL database, as `state.url` takes it.
        seconds: how long.
        every: so many seconds about one is killed, and then started again.
        workers: gateways.
        seed: of who is killed and who asks what.

    Raises:
        RuntimeError: a gateway does not start.
    """
    with ScriptedBackend(_script) as backend, TemporaryDirectory(prefix="rants-chaos-") as folder:
        variables = {
            "RANTS_STATE__URL": url,
            "RANTS_STATE__LEASE_SECONDS": str(_LEASE_SECONDS),
            "RANTS_TOOLS__WORKSPACE": folder,
        }
        chaotic = _Chaos(random.Random(seed), workers)
        keeping = [asyncio.create_task(chaotic.keep(index, backend.base_url, variables)) for index in range(workers)]
        try:
            await chaotic.all_alive(keeping)
            asking = [asyncio.create_task(chaotic.ask_on()) for _ in range(_CLIENTS)]
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await asyncio.sleep(every * (0.5 + chaotic.dice.random()))
                chaotic.kill()
            chaotic.calm = True
            await asyncio.gather(*asking)
            await chaotic.all_alive(keeping)
            await chaotic.look()
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.wait(keeping)
        chaotic.outcome.twice = _twice(Path(folder, _FILE))
        return chaotic.outcome


async def chaos(url: str, *, seconds: float) -> None:
    """Run `killing` and print a table."""
    outcome = await killing(url, seconds=seconds)
    show(
        f"three gateways, {outcome.kills} kills in {seconds:g} s",
        ("acknowledged", "not so"),
        [
            _line("responses that were completed, and can be read back", outcome.acknowledged, outcome.lost),
            _line("background responses that ended well", outcome.promised, outcome.wrong),
            _line("done more than once", outcome.promised, outcome.twice),
        ],
    )


def _line(what: str, of: Any, broken: Any) -> Line:
    return Line(what, (str(len(of)), str(len(broken))), "", "none", bool(of) and not broken)


class _Chaos:
    def __init__(self, dice: random.Random, workers: int) -> None:
        self.dice = dice
        self.outcome = Outcome()
        self.calm = False
        self._alive: dict[int, Server] = {}
        self._workers = workers
        self._numbers = count()

    async def keep(self, index: int, backend: str, variables: dict[str, str]) -> None:
        """Start a gateway, again whenever it was killed."""
        while True:
            async with rants(backend, variables) as server:
                self._alive[index] = server
                while self._alive.get(index) is server:  # noqa: ASYNC110  (a kill is no event of ours to wait for)
                    await asyncio.sleep(0.1)

    async def all_alive(self, keeping: list[asyncio.Task[None]]) -> None:
        """Wait until all gateways listen."""
        while len(self._alive) < self._workers:
            await asyncio.wait(keeping, timeout=0.2)
            for task in keeping:
                if task.done():
                    await task

    def kill(self) -> None:
        """Kill one, unless it would be the last."""
        if len(self._alive) > 1:
            index = self.dice.choice(sorted(self._alive))
            with suppress(ProcessLookupError):
                os.kill(self._alive.pop(index).pid, signal.SIGKILL)
            self.outcome.kills += 1

    async def ask_on(self) -> None:
        """Be a client until it is calm."""
        while not self.calm:
            if not self._alive:
                await asyncio.sleep(0.1)
                continue
            ways: list[Callable[[aiohttp.ClientSession, int], Awaitable[None]]] = [self._background, self._foreground]
            with suppress(*_UNHEARD):
                async with self._client() as client:
                    await self.dice.choice(ways)(client, next(self._numbers))

    async def _background(self, client: aiohttp.ClientSession, number: int) -> None:
        asked = {"model": _MODEL, "input": f"Do {number}.", "background": True, "tools": _BASH}
        async with client.post("/v1/responses", json=asked) as answer:
            said = await answer.json()
            if answer.status == 200:
                self.outcome.promised[said["id"]] = number

    async def _foreground(self, client: aiohttp.ClientSession, number: int) -> None:
        asked = {"model": _MODEL, "input": f"Say {number}.", "stream": True}
        async with client.post("/v1/responses", json=asked) as answer:
            async for line in answer.content:
                if line.startswith(b"data: ") and (event := json.loads(line[6:]))["type"] == "response.completed":
                    self.outcome.acknowledged[event["response"]["id"]] = _text(event["response"])

    async def look(self) -> None:
        """Read everything back, whoever answers."""
        async with self._client() as client:
            for response, text in self.outcome.acknowledged.items():
                async with client.get(f"/v1/responses/{response}") as answer:
                    read = await answer.json()
                    if answer.status != 200 or read["status"] != "completed" or _text(read) != text:
                        self.outcome.lost.append(response)
            until = time.monotonic() + 60 + len(self.outcome.promised) / 2
            for response, number in self.outcome.promised.items():
                while True:
                    async with client.get(f"/v1/responses/{response}") as answer:
                        read = await answer.json()
                    if read.get("status") not in ("queued", "in_progress") or time.monotonic() > until:
                        break
                    await asyncio.sleep(0.2)
                if read.get("status") != "completed" or f"Done {number}." not in _text(read):
                    self.outcome.wrong[response] = read

    def _client(self) -> aiohttp.ClientSession:
        """Somebody who asks one of the gateways."""
        server = self._alive[self.dice.choice(sorted(self._alive))]
        return aiohttp.ClientSession(server.address, timeout=aiohttp.ClientTimeout(total=60))


def _twice(written: Path) -> list[int]:
    """The numbers that were written more than once."""
    numbers = map(int, written.read_text().split()) if written.exists() else ()
    return [number for number, times in Counter(numbers).items() if times > 1]


def _script(body: dict[str, Any]) -> Reply:
    """Have the number of the conversation done once, or say it."""
    said = [str(message["content"]) for message in body["messages"]]
    what, number = re.findall(r"(Do|Say) (\d+)\.", "\n".join(said))[0]
    if what == "Say":
        return Reply(["Said ", f"{number}", "."], delay=0.05)
    if any("TOOL_RESULT" in text for text in said):
        return Reply([f"Done {number}."], first_delay=0.2)
    call = json.dumps({"command": f"echo {number} >> {_FILE}"})
    return Reply([f"TOOL_INTENT: call bash with {call}"], first_delay=0.2)


def _text(response: dict[str, Any]) -> str:
    parts = (part for item in response["output"] if item["type"] == "message" for part in item["content"])
    return "".join(part["text"] for part in parts)
