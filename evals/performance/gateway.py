"""RANTS beside the least that a gateway can be, over the same stub that answers at once.

Both run in processes of their own under the same uvicorn, RANTS with its store. They take turns, in another order each
round, and each round gives its own ratios: what the machine does meanwhile then falls on both. What is printed are
the medians over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from evals.performance.load import Load, load
from evals.performance.processes import Server, rants, running

MANY = 50
"""How many clients there are where there are many."""

_MOST_ADDED = 2.0  # times the passthrough's
_LEAST_RATE = 0.5  # of the passthrough's
_LATEST_TOKEN = 0.010  # seconds after the backend's
_MOST_GROWTH = 10.0  # MiB over 10,000 requests

type Times = dict[tuple[str, int, bool], Load]
"""One round: by server, number of clients, and whether the answers were streamed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `met` is None where there is no aim."""

    what: str
    passthrough: str
    rants: str
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


async def gateway(*, requests: int = 10_000, rounds: int = 5, sample: int = 300) -> None:
    """Measure and print the table.

    Args:
        requests: over which the memory is watched.
        rounds: how often everything is measured.
        sample: requests in each measurement.
    """
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(running("-m", "evals.performance.stub"))
        passthrough = await stack.enter_async_context(running("-m", "evals.performance.passthrough", stub.address))
        ours = await stack.enter_async_context(rants(f"{stub.address}/v1"))
        servers = {"stub": stub, "passthrough": passthrough, "rants": ours}
        for server in servers.values():  # what is imported, connected and cached with the first requests
            await load(server.port, clients=MANY, requests=sample, stream=True)
        measured = [await _round(servers, sample, backwards=number % 2 == 1) for number in range(rounds)]
        before, after = await _memory(ours, requests)
    _print([*_times(measured), _growth(before, after, requests)], rounds, sample)


async def _round(servers: dict[str, Server], sample: int, *, backwards: bool) -> Times:
    order = sorted(servers, reverse=backwards)
    return {
        (name, clients, stream): await load(servers[name].port, clients=clients, requests=sample, stream=stream)
        for stream in (True, False)
        for clients in (1, MANY)
        for name in order
    }


async def _memory(server: Server, requests: int) -> tuple[float, float]:
    """MiB before and after. As many as a tenth of the requests go first, so that allocators have found their size."""
    await load(server.port, clients=MANY, requests=max(1, requests // 10), stream=True)
    before = await server.memory()
    await load(server.port, clients=MANY, requests=requests, stream=True)
    return before, await server.memory()


def _times(measured: list[Times]) -> Iterator[Line]:
    for stream, how in ((True, "streamed"), (False, "whole")):
        for name, slowness in (("median", _median), ("p99", _p99)):
            # Beyond what the stub takes when it is asked directly: in the median, which its own outliers do not move.
            values = [
                tuple(
                    slowness(times[who, 1, stream]) - times["stub", 1, stream].median
                    for who in ("passthrough", "rants")
                )
                for times in measured
            ]
            ratio = statistics.median(ours / theirs for theirs, ours in values)
            yield Line(
                f"added latency, {how}, 1 client, {name}",
                *(f"{statistics.median(column) * 1000:.2f} ms" for column in zip(*values, strict=True)),
                f"{ratio:.2f}",
                f"<= {_MOST_ADDED:g}",
                ratio <= _MOST_ADDED,
            )
    for stream, how in ((True, "streamed"), (False, "whole")):
        values = [tuple(times[who, MANY, stream].rate for who in ("passthrough", "rants")) for times in measured]
        ratio = statistics.median(ours / theirs for theirs, ours in values)
        yield Line(
            f"requests/s, {how}, {MANY} clients",
            *(f"{statistics.median(column):.0f}" for column in zip(*values, strict=True)),
            f"{ratio:.2f}",
            f">= {_LEAST_RATE:g}",
            ratio >= _LEAST_RATE,
        )
    values = [tuple(times[who, 1, True].first_token for who in ("passthrough", "rants")) for times in measured]
    middle = [statistics.median(column) for column in zip(*values, strict=True)]
    yield Line(
        "first visible token after the backend's, 1 client",
        *(f"{seconds * 1000:.2f} ms" for seconds in middle),
        f"{statistics.median(ours / theirs for theirs, ours in values):.2f}",
        f"<= {_LATEST_TOKEN * 1000:g} ms",
        middle[1] <= _LATEST_TOKEN,
    )
