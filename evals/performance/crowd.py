"""Many streams at once over one worker, and a modest tenant beside a greedy one.

The backend takes its time, so that all streams are open together. The modest tenant is measured alone and then in
company, on the same server: what counts is how many times longer it waits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from evals.performance.load import Load, load
from evals.performance.processes import Server, rants, running
from evals.performance.table import Line, show

_PAUSE = 0.5  # seconds between the pieces of a stream: it takes ten
_SHORT_PAUSE = 0.01
_PLACES = 8  # for runs at once, where two tenants want them
_GREEDY = 200  # clients
_MODEST = 20  # requests, one after the other
_LONGEST_WAIT = 4.0  # times as long as alone
_MOST_GROWTH = 0.1  # of the memory
_KEYS = {"greedy": "greedy-5f0c2a9d7e41b683c05d", "modest": "modest-91b7d3e6a8f204c5b71e"}
_RUNNING = re.compile(rb"^rants_runs_in_flight ([\d.]+)", re.MULTILINE)


async def crowd(*, streams: int) -> None:
    """Measure and print a table.

    Args:
        streams: at once.

    Raises:
        RuntimeError: one of the servers does not start.
        WrongReply, ConnectionError: a stream was dropped.
    """
    limits = {"RANTS_LIMITS__MAX_RUNS": str(streams), "RANTS_RESILIENCE__MAX_CONNECTIONS": str(streams)}
    async with _over(_PAUSE, limits) as server:
        sizes, most = [], 0
        for _ in range(3):
            done, at_once = await _together(server, streams)
            most = max(most, at_once)
            sizes.append(await server.memory())
    tenants = {"RANTS_AUTH__ENABLED": "true", "RANTS_LIMITS__MAX_RUNS": str(_PLACES)}
    for number, (tenant, key) in enumerate(_KEYS.items()):
        tenants[f"RANTS_AUTH__API_KEYS__{number}__KEY"] = key
        tenants[f"RANTS_AUTH__API_KEYS__{number}__TENANT_ID"] = tenant
    async with _over(_SHORT_PAUSE, tenants) as server:
        alone = await _modest(server)
        greedy = asyncio.create_task(
            load(server.port, clients=_GREEDY, requests=_GREEDY * 10, stream=True, key=_KEYS["greedy"])
        )
        await asyncio.sleep(2)
        company = await _modest(server)
        greedy.cancel()
        await asyncio.wait([greedy])
    waits = company.slowest(50) / alone.slowest(50)
    show(
        f"{streams} streams at once, and {_GREEDY} greedy clients for {_PLACES} places",
        ("before, alone", "after, in company"),
        [
            Line("streams that were whole", ("", str(len(done.replies))), f"of {streams}", "all", True),
            Line("at once, at the most", ("", str(most)), f"{most / streams:.2f}", ">= 0.95", most >= 0.95 * streams),
            Line(
                "memory after the second and the third time",
                (f"{sizes[1]:.0f} MiB", f"{sizes[2]:.0f} MiB"),
                f"{sizes[2] / sizes[1]:.2f}",
                f"<= {1 + _MOST_GROWTH:g}",
                sizes[2] <= sizes[1] * (1 + _MOST_GROWTH),
            ),
            Line(
                "a modest tenant's request, median",
                (f"{alone.slowest(50) * 1000:.0f} ms", f"{company.slowest(50) * 1000:.0f} ms"),
                f"{waits:.2f}",
                f"<= {_LONGEST_WAIT:g}",
                waits <= _LONGEST_WAIT,
            ),
        ],
    )


@asynccontextmanager
async def _over(pause: float, variables: dict[str, str]) -> AsyncGenerator[Server]:
    """A server over a backend that pauses."""
    async with (
        running(f"from evals.performance.stub import serve; serve({pause})") as stub,
        rants(f"{stub.address}/v1", variables) as server,
    ):
        yield server


async def _together(server: Server, streams: int) -> tuple[Load, int]:
    """Open all streams; gives what came of them, and how many ran at once at the most."""
    loading = asyncio.create_task(load(server.port, clients=streams, requests=streams, stream=True))
    most = 0
    async with aiohttp.ClientSession() as client:
        while not loading.done():
            async with client.get(f"{server.address}/metrics") as answer:
                found = _RUNNING.search(await answer.read())
            most = max(most, int(float(found[1])) if found else 0)
            await asyncio.wait([loading], timeout=0.5)
    return await loading, most


async def _modest(server: Server) -> Load:
    return await load(server.port, clients=1, requests=_MODEST, stream=True, key=_KEYS["modest"])
