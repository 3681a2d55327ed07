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


@app.command()
def needle(
    *,
    model: Annotated[list[str] | None, typer.Option(help="A name of the catalogue, or a path of a .gguf file.")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many questions of each kind.")] = 10,
    tokens: Annotated[int, typer.Option(min=1000, help="How long each text is.")] = 131_072,
    seed: Annotated[int, typer.Option(min=0, help="Of the first text.")] = 100,
    distractors: Annotated[
        list[int] | None, typer.Option(help="Other needles in each text; by default 0 and 8.")
    ] = None,
    flat: Annotated[bool, typer.Option(help="Ask the model without RANTS, too.")] = True,
) -> None:
    """See how many needles an embedded model finds in texts that it cannot read. Takes minutes."""
    from evals.needles import needles

    others = distractors or (0, 8)
    asked = model or ["smollm2-135m"]
    asyncio.run(needles(asked, count=count, tokens=tokens, seed=seed, distractors=others, flat=flat))
