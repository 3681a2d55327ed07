"""RANTS beside the least that a gateway can be, and beside LiteLLM's proxy, over the same stub that answers at once.

All run in processes of their own under the same uvicorn, RANTS with its store, asking for a key, and counting requests
and tokens. They take turns, in another order each round, and each round gives its own ratios: what else the machine
does falls on both. Printed are the medians over the rounds.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

from rich.console import Console

from evals.performance.litellm import litellm as proxy
from evals.performance.load import KEY, Load, load
from evals.performance.processes import Server, rants, running
from evals.performance.table import Line, show

_MANY = 50  # clients
_MOST_ADDED = 2.0  # times what the passthrough adds
_LEAST_RATE = 0.5  # of the passthrough's
_LEAST_OF_LITELLM = 5.0
_LATEST_TOKEN = 10.0  # milliseconds after the backend's
_MOST_GROWTH = 0.05  # of the memory

_GUARDED = {
    "RANTS_AUTH__ENABLED": "true",
    "RANTS_AUTH__API_KEYS__0__KEY": KEY,
    "RANTS_RATE_LIMITS__ENABLED": "true",
    "RANTS_RATE_LIMITS__BURST": "1000000",
    "RANTS_RATE_LIMITS__TOKENS_PER_MINUTE": "1000000000",
    "RANTS_RATE_LIMITS__CONCURRENT": "100",
}
"""Limits that are looked at with every request, and not reached."""

type Round = dict[tuple[str, int, bool], Load]
"""What was measured once, by server, number of clients and whether the answers were streamed."""


async def gateway(*, requests: int, rounds: int, sample: int, litellm: bool) -> None:
    """Measure and print a table.

    Args:
        litellm: whether LiteLLM's proxy is measured, too; uv fetches it.
        requests: over which the memory is watched.
        rounds: how often everything else is measured.
        sample: requests in each measurement.

    Raises:
        RuntimeError: one of the servers does not start.
        WrongReply: an answer is not the backend's.
    """
    async with AsyncExitStack() as stack:
        stub = await stack.enter_async_context(running("from evals.performance.stub import serve; serve()"))
        relay = f"from evals.performance.passthrough import serve; serve({stub.address!r})"
        passthrough = await stack.enter_async_context(running(relay))
        ours = await stack.enter_async_context(rants(f"{stub.address}/v1", _GUARDED))
        servers = {"stub": stub, "passthrough": passthrough, "rants": ours}
        if litellm:
            servers["litellm"] = await stack.enter_async_context(proxy(f"{stub.address}/v1"))
        status = stack.enter_context(Console(stderr=True).status("first requests"))
        measured: list[Round] = [{} for _ in range(rounds)]
        # One client comes first: whoever served many has their connections to look after for a while.
        for clients in (1, _MANY):
            for server in servers.values():
                await load(server.port, clients=clients, requests=sample, stream=True)
            for number, one in enumerate(measured):
                status.update(f"{clients} at a time, round {number + 1} of {rounds}")
                one.update(await _measure(servers, clients, sample, backwards=number % 2 == 1))
        status.update(f"{requests} requests")
        # A tenth of them goes first: an allocator takes a while to find its size.
        await load(ours.port, clients=_MANY, requests=requests // 10, stream=True)
        before = await ours.memory()
        await load(ours.port, clients=_MANY, requests=requests, stream=True)
        after = await ours.memory()
    show(
        f"RANTS beside a bare passthrough, {os.process_cpu_count()} cores, {rounds} rounds of {sample} requests",
        ("passthrough", "RANTS"),
        [*_latencies(measured), *_rates(measured), _first_token(measured), _memory(before, after, requests)],
    )
    if litellm:
        show("RANTS beside LiteLLM's proxy, in the same rounds", ("LiteLLM", "RANTS"), _rates(measured, "litellm"))


async def _measure(servers: dict[str, Server], clients: int, sample: int, *, backwards: bool) -> Round:
    return {
        (name, clients, stream): await load(servers[name].port, clients=clients, requests=sample, stream=stream)
        for stream in (True, False)
        for name in sorted(servers, reverse=backwards)
    }


def _beside(
    measured: list[Round], number: Callable[[Round, str], float], other: str = "passthrough"
) -> tuple[float, float, float]:
    """The other's number, ours, and how many times the other's ours is."""
    pairs = [(number(one, other), number(one, "rants")) for one in measured]
    theirs, ours = zip(*pairs, strict=True)
    return statistics.median(theirs), statistics.median(ours), statistics.median(b / a for a, b in pairs)


def _latencies(measured: list[Round]) -> Iterator[Line]:
    """What a gateway adds to the usual time (the median) of asking the backend directly."""
    for stream in (True, False):
        for share in (50, 99):

            def added(one: Round, who: str, stream: bool = stream, share: int = share) -> float:
                return (one[who, 1, stream].slowest(share) - one["stub", 1, stream].slowest(50)) * 1000

            theirs, ours, ratio = _beside(measured, added)
            yield Line(
                f"added latency, {_how(stream)}, 1 client, {'median' if share == 50 else f'p{share}'}",
                (f"{theirs:.2f} ms", f"{ours:.2f} ms"),
                f"{ratio:.2f}",
                f"<= {_MOST_ADDED:g}",
                ratio <= _MOST_ADDED,
            )


def _rates(measured: list[Round], other: str = "passthrough") -> Iterator[Line]:
    least = _LEAST_RATE if other == "passthrough" else _LEAST_OF_LITELLM
    for stream in (True, False):

        def rate(one: Round, who: str, stream: bool = stream) -> float:
            return one[who, _MANY, stream].rate

        theirs, ours, ratio = _beside(measured, rate, other)
        yield Line(
            f"requests/s, {_how(stream)}, {_MANY} clients",
            (f"{theirs:.0f}", f"{ours:.0f}"),
            f"{ratio:.2f}",
            f">= {least:g}",
            ratio >= least,
        )


def _first_token(measured: list[Round]) -> Line:
    theirs, ours, ratio = _beside(measured, lambda one, who: one[who, 1, True].first_token * 1000)
    return Line(
        "first token after the backend's, 1 client",
        (f"{theirs:.2f} ms", f"{ours:.2f} ms"),
        f"{ratio:.2f}",
        f"<= {_LATEST_TOKEN:g} ms",
        ours <= _LATEST_TOKEN,
    )


def _memory(before: float, after: float, requests: int) -> Line:
    return Line(
        f"memory before and after {requests} requests",
        ("", f"{before:.1f}, {after:.1f} MiB"),
        f"{after / before:.2f}",
        f"<= {1 + _MOST_GROWTH:g}",
        after <= before * (1 + _MOST_GROWTH),
    )


def _how(stream: bool) -> str:
    return "streamed" if stream else "whole"
