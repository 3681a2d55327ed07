"""Clients that come, go and hang up at random for half an hour, and what is left of them afterwards: nothing.

The server's descriptors, processes and memory, the runs that it counts as going on and the rows that have no end are
looked at once a minute and when all have gone.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from evals.performance.processes import Server, processes_below, rants, tree_memory
from evals.performance.table import Line, show
from evals.scripted import Reply, ScriptedBackend

_MODEL = "rants-one"
_CLIENTS = 20
_WARM_SECONDS = 20.0
_QUIET_SECONDS = 10.0
_MOST_GROWTH = 0.15  # of the memory
_GAUGE = re.compile(r"^(rants_runs_in_flight|rants_queue_length) ([\d.]+)", re.MULTILINE)
_LONG = "Nothing of note. " * 4000


@dataclass(frozen=True, slots=True)
class _Look:
    descriptors: int
    processes: int
    memory: float
    waiting: float


async def soak(*, minutes: float, seed: int = 0) -> None:
    """Run it and print a table.

    Args:
        minutes: how long.
        seed: of what the clients do.

    Raises:
        RuntimeError: the server does not start.
    """
    dice = random.Random(seed)
    variables = {
        "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "8000",
        "RANTS_RESILIENCE__BACKOFF_SECONDS": "0.05",
        "RANTS_RESILIENCE__BREAKER_FAILURES": "0",  # else the model would not be asked for most of the time
    }
    with ScriptedBackend(lambda body: _reply(dice)) as backend:
        async with rants(backend.base_url, variables) as server:
            clients = _Clients(server, dice)
            await clients.come(_WARM_SECONDS)
            before = await _look(server)
            await clients.come(minutes * 60)
            after = await _look(server)
    show(
        f"{sum(clients.ended.values())} requests in {minutes:g} minutes: {dict(clients.ended)}",
        ("before", "after"),
        [
            _same("descriptors", before.descriptors, after.descriptors, spare=5),
            _same("processes", before.processes, after.processes, spare=0),
            _same("runs that go on or wait", before.waiting, after.waiting, spare=0),
            Line(
                "memory",
                (f"{before.memory:.0f} MiB", f"{after.memory:.0f} MiB"),
                f"{after.memory / before.memory:.2f}",
                f"<= {1 + _MOST_GROWTH:g}",
                after.memory <= before.memory * (1 + _MOST_GROWTH),
            ),
            Line("answers of a kind that should not be", ("", str(clients.wrong)), "", "none", not clients.wrong),
            Line("responses without an end", ("", str(clients.endless)), "", "none", not clients.endless),
        ],
    )


def _same(what: str, before: float, after: float, *, spare: float) -> Line:
    aim = f"<= {before + spare:g}"
    return Line(what, (f"{before:g}", f"{after:g}"), "", aim, after <= before + spare)


class _Clients:
    def __init__(self, server: Server, dice: random.Random) -> None:
        self.ended = Counter[str]()
        self.wrong = 0
        self.endless = 0
        self._server = server
        self._dice = dice
        self._numbers = count()
        self._background: list[str] = []

    async def come(self, seconds: float) -> None:
        """Ask for so long; then wait until all is quiet."""
        until = time.monotonic() + seconds
        async with aiohttp.ClientSession(self._server.address, timeout=aiohttp.ClientTimeout(total=60)) as client:

            async def one() -> None:
                while time.monotonic() < until:
                    await asyncio.sleep(self._dice.random())
                    await self._ask(client)

            await asyncio.gather(*(one() for _ in range(_CLIENTS)))
            await asyncio.sleep(_QUIET_SECONDS)
            for response in self._background:
                async with client.get(f"/v1/responses/{response}") as answer:
                    self.endless += (await answer.json()).get("status") in ("queued", "in_progress")
            self._background.clear()

    async def _ask(self, client: aiohttp.ClientSession) -> None:
        said = f"{next(self._numbers)}? {_LONG if self._dice.random() < 0.1 else ''}"
        asked: dict[str, Any] = {"model": _MODEL, "stream": self._dice.random() < 0.7}
        ways: list[tuple[str, dict[str, Any]]] = [
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": said}]}),
            ("/v1/responses", {"input": said}),
            ("/v1/responses", {"input": said, "background": True, "stream": False}),
        ]
        path, more = self._dice.choice(ways)
        hangs_up = self._dice.random() < 0.3
        patience = self._dice.random() * 0.5 if hangs_up else 60.0
        how = "hung up" if hangs_up else "answered"
        with suppress(aiohttp.ClientError):
            try:
                async with asyncio.timeout(patience), client.post(path, json=asked | more) as answer:
                    await answer.read()
                how = str(answer.status)
                # 502, 503 and 504 are the scripted failures, told as they should be.
                self.wrong += answer.status not in (200, 502, 503, 504)
                if more.get("background") and answer.status == 200:
                    self._background.append((await answer.json())["id"])
            except TimeoutError:
                self.wrong += not hangs_up
        self.ended[how] += 1


async def _look(server: Server) -> _Look:
    async with aiohttp.ClientSession() as client, client.get(f"{server.address}/metrics") as answer:
        gauges = _GAUGE.findall(await answer.text())
    descriptors, processes, memory = await asyncio.to_thread(_of_process, server.pid)
    return _Look(descriptors, processes, memory, sum(float(value) for _, value in gauges))


def _of_process(pid: int) -> tuple[int, int, float]:
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return descriptors, len(processes_below(pid)), tree_memory(pid) / 2**20


def _reply(dice: random.Random) -> Reply:
    """What a model may do: answer, slowly or not, fail, break off, write code."""
    ways: list[Callable[[], Reply]] = [
        lambda: Reply(["Well", ", ", "yes", "."], delay=dice.random() * 0.1),
        lambda: Reply(["Well", ", ", "yes", "."], delay=dice.random() * 0.1),
        lambda: Reply(["```python\nSUBMIT(str(len(context)))\n```"]),
        lambda: Reply(status=dice.choice([429, 500, 503])),
        lambda: Reply(["Well"], fault=dice.choice(["cut", "malformed", "error"])),
    ]
    return dice.choice(ways)()
