"""`rants eval turns`: the same conversations with each side, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import openai
from openai import AsyncOpenAI
from rich import box
from rich.console import Console
from rich.table import Table

from evals.intervals import wilson
from evals.serving import WAYS, Way, serving
from evals.turns.client import play
from evals.turns.results import Played, Results, results_of
from evals.turns.scenarios import make
from programs.backends.catalogue import BUNDLED, resolve
from programs.errors import BackendUnavailable, ConfigurationError

_GIVEN = "given"  # the side that a URL names
_ASKED = "rants-one"  # llama.cpp's server does not care
_PATIENCE = 600.0  # seconds for one reply: small machines are slow


async def turns(
    *,
    out: Path,
    url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    count: int = 10,
    seed: int = 0,
    own: bool = True,
    window: int = 8192,
) -> None:
    """Measure what is not yet known, and print a table.

    Args:
        out: a folder for the results. Conversations that are in it already, of the same side and model, are not had
            again.
        url: of a server that is up, with `/v1`; by default RANTS is started, with `model`.
        api_key: for it.
        model: what it is asked for, by default the first that it lists; without a `url`, a name of the catalogue or a
            path of a `.gguf` file, by default what comes with RANTS.
        count: of conversations.
        seed: of the first.
        own: whether the same weights are asked without RANTS, too; with a `url` there are none to be asked.
        window: tokens of prompt and reply together, without a `url`.

    Raises:
        ConfigurationError: there are no such weights, the server knows no such model or refuses the key, or the
            folder cannot be used.
        BackendUnavailable: nobody listens at `url`, or no more.
    """
    results = results_of(out)
    if url is not None:
        async with AsyncOpenAI(base_url=url, api_key=api_key or "any", timeout=_PATIENCE) as client:
            asked = model or await _first(client)
            name = f"{asked} at {url}"
            await _have(client, asked, _GIVEN, name, results, count=count, seed=seed)
        _show(name, [_GIVEN], results, count=count, seed=seed)
        return
    gguf = resolve(model or BUNDLED).absolute()
    sides = WAYS if own else WAYS[:1]
    for side in sides:
        if all(results.find((side, gguf.name, number)) for number in range(seed, seed + count)):
            continue  # a server would be started for nothing
        async with _started(side, gguf, window) as client:
            await _have(client, _ASKED, side, gguf.name, results, count=count, seed=seed)
    _show(gguf.name, sides, results, count=count, seed=seed)


@asynccontextmanager
async def _started(side: Way, gguf: Path, window: int) -> AsyncGenerator[AsyncOpenAI]:
    async with (
        serving(side, gguf, window) as server,
        AsyncOpenAI(base_url=f"{server.address}/v1", api_key="any", timeout=_PATIENCE) as client,
    ):
        yield client


async def _first(client: AsyncOpenAI) -> str:
    try:
        listed = await client.models.list()
    except openai.APIConnectionError as error:
        url = str(client.base_url)
        raise BackendUnavailable(f"nobody listens at {url}: {error}", backend=url) from error
    except openai.APIError as error:
        raise ConfigurationError(
            f"{client.base_url} lists no models: {error.message}; see --model and --api-key"
        ) from error
    if not listed.data:
        raise ConfigurationError(f"{client.base_url} lists no models: name one with --model")
    return listed.data[0].id


async def _have(
    client: AsyncOpenAI, model: str, side: str, name: str, results: Results, *, count: int, seed: int
) -> None:
    console = Console(stderr=True)
    right = 0
    with console.status("") as status:
        for done, number in enumerate(range(seed, seed + count)):
            status.update(f"{side}: {right} of {done} right")
            played = results.find((side, name, number))
            if played is None:
                played = await play(make(number), client, model, side, name)
                results.add(played)
            right += played.right


def _show(name: str, sides: Sequence[str], results: Results, *, count: int, seed: int) -> None:
    table = Table(title=f"{count} conversations with {name}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("side")
    for column in ("right", "state right", "calls", "invalid", "replies", "ended early", "seconds, median"):
        table.add_column(column, justify="right")
    for side in sides:
        known = [results.find((side, name, number)) for number in range(seed, seed + count)]
        table.add_row(side, *_cells([played for played in known if played is not None]))
    Console(width=110).print(table)


def _cells(played: Sequence[Played]) -> list[str]:
    right = sum(one.right for one in played)
    low, high = wilson(right, len(played))
    return [
        f"{100 * right / len(played):.0f} % ({low * 100:.0f} to {high * 100:.0f})",
        f"{100 * sum(one.state for one in played) / len(played):.0f} %",
        str(sum(one.calls for one in played)),
        str(sum(one.invalid for one in played)),
        str(sum(one.replies for one in played)),
        str(sum(one.failure is not None for one in played)),
        f"{median(one.seconds for one in played):.1f}",
    ]
