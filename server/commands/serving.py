"""Serving until interrupted, for `rants serve` and `rants demo`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from server.settings import Settings

out = Console(highlight=False, soft_wrap=True)


def serve(settings: Settings, log_level: str | None = None, listening: Callable[[str], object] | None = None) -> None:
    """Say where, and serve there until a signal ends it.

    Args:
        settings: as they are configured: each worker reads them again.
        log_level: by default `warning`, and `info` for logs in JSON.
        listening: is told the server's address, without `/v1`, when it is taken. Who asks there waits for the answer.

    Raises:
        ConfigurationError, StoreError: the weights, the program, the database or the address cannot be used.
    """
    from server import logs, workers

    somebody = asyncio.run(_preflight(settings))
    level = log_level or ("info" if settings.observability.logs == "json" else "warning")
    config, socket = workers.bind(settings.server, level, logs.config(settings.observability, level))
    # From elsewhere it is reached by this machine's name; from here by the loopback address.
    host = settings.server.host
    host_name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    address = f"http://{host_name}:{socket.getsockname()[1]}"
    for line in (*_banner(settings, address), *_who(settings, somebody=somebody)):
        out.print(line)
    if listening is not None:
        listening(address)
    workers.serve(config, socket)


async def _preflight(settings: Settings) -> bool:
    """Find out what cannot be used while the answer can still be one sentence. Gives whether anybody has a key.

    Raises:
        ConfigurationError, StoreError: the weights, the program or the database.
    """
    from programs import RANTS, Backends
    from store import Store

    RANTS(program=settings.rlm.program)
    await Backends(settings.models, settings.resilience).aclose()
    async with await Store.open(settings.state) as store:
        made = any(key.revoked_at is None for key in await store.keys())
    return made or bool(settings.auth.api_keys)


def _banner(settings: Settings, address: str) -> Iterator[str]:
    from programs.backends import ROLES
    from programs.environment import shared
    from server.health import VERSION

    name = settings.rlm.rants_one.name
    yield f"[bold]RANTS {VERSION}[/bold] listens on [bold]{address}/v1[/bold] (health: {address}/health)"
    for role in ROLES:
        if entry := getattr(settings.models, role):
            ways = [
                f"{each.provider} {each.model or 'the first model it lists'} ({each.where})"
                for each in (entry, *entry.fallbacks)
            ]
            yield f"  {role}: {', else '.join(ways)}"
    if settings.server.workers > 1:
        yield f"  workers: {settings.server.workers}; each has embedded weights and environments of its own"
    yield f"  environment: {shared(settings.rlm.rants_one.environment).name}"
    if settings.rlm.program is not None:
        yield f"  program: {escape(str(settings.rlm.program))}"
    yield f"  store: {escape(settings.state.place)}"
    if settings.ui.enabled:
        yield f"  pages: {address}/ui"
    key = "one of your API keys" if settings.auth.enabled else "any text"
    yield "Point your client here:"
    yield f'  OpenAI SDK:   OpenAI(base_url="{address}/v1", api_key=<{key}>), model="{name}"'
    provider = (
        f'"npm": "@ai-sdk/openai-compatible", "options": {{"baseURL": "{address}/v1"}}, "models": {{"{name}": {{}}}}'
    )
    yield escape(f'  opencode.json: {{"provider": {{"rants": {{{provider}}}}}, "model": "rants/{name}"}}')
    ask = f'{{"model": "{name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    yield escape(f"  curl:         curl {address}/v1/chat/completions -H 'Content-Type: application/json' -d '{ask}'")


def _who(settings: Settings, *, somebody: bool) -> Iterator[str]:
    """What is to be said of who may ask."""
    from server.gateway import is_loopback

    host = settings.server.host
    if not settings.auth.enabled and not is_loopback(host):
        yield (
            f"[bold red]Authentication is off: everybody who reaches {host} may ask.[/bold red]\n"
            "  Set auth.enabled to true (RANTS_AUTH__ENABLED=true), and make keys: rants keys create --tenant NAME"
        )
    if settings.auth.enabled and not somebody:
        yield (
            "[bold]Nobody has a key yet.[/bold] Make one, while this runs, on the same configuration:\n"
            "  rants keys create --tenant NAME"
        )
