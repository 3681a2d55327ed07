"""`rants bench`: measure RANTS beside its neighbours, and under load."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Measure RANTS beside its neighbours, and under load.")


@app.command()
def gateway(
    requests: Annotated[int, typer.Option(min=1, help="Over which the memory is watched.")] = 10_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything else is measured.")] = 5,
    sample: Annotated[int, typer.Option(min=1, help="Requests in each measurement.")] = 300,
    litellm: Annotated[bool, typer.Option(help="Have uv fetch LiteLLM's proxy, and measure it too.")] = True,
) -> None:
    """Compare RANTS with a bare passthrough: latency, requests a second, first token, memory. Takes minutes."""
    from evals import performance

    asyncio.run(performance.gateway(requests=requests, rounds=rounds, sample=sample, litellm=litellm))


@app.command()
def crowd(streams: Annotated[int, typer.Option(min=1, help="At once.")] = 1000) -> None:
    """Hold many streams open at once, and see a modest tenant beside a greedy one. Takes minutes."""
    from evals import performance

    asyncio.run(performance.crowd(streams=streams))


@app.command()
def chaos(
    url: Annotated[str, typer.Argument(help="An empty PostgreSQL database, as state.url takes it.")],
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 300,
) -> None:
    """Kill one of three gateways every few seconds, and see that nothing is lost or done twice."""
    from evals import performance

    asyncio.run(performance.chaos(url, seconds=seconds))


@app.command()
def soak(minutes: Annotated[float, typer.Option(min=0.1, help="How long.")] = 30) -> None:
    """Have clients come, go and hang up at random, and see that nothing is left of them."""
    from evals import performance

    asyncio.run(performance.soak(minutes=minutes))


@app.command()
def cache() -> None:
    """See how much of a growing conversation the embedded model does not read again. Takes about a minute."""
    from evals import performance

    asyncio.run(performance.cache())


@app.command()
def loop(
    rounds: Annotated[int, typer.Option(min=1, help="How often the times are measured.")] = 3,
    calls: Annotated[int, typer.Option(min=1, help="Of the sub-LM, in one batch.")] = 200,
    context: Annotated[int, typer.Option(min=1, help="Characters of the large context.")] = 100_000_000,
    sessions: Annotated[int, typer.Option(min=1, help="At once.")] = 100,
    rlms: Annotated[bool, typer.Option(help="Have uv fetch rlms, and measure it too.")] = True,
) -> None:
    """Compare the recursive loop with dspy.RLM's and rlms's, over a scripted model. Takes minutes."""
    from evals import performance

    asyncio.run(performance.loop(rounds=rounds, calls=calls, context=context, sessions=sessions, rlms=rlms))
