"""`rants demo`: the first minute with RANTS is a picture."""

from __future__ import annotations

import os
import sys
import threading
import time
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from openai.types.responses import ResponseInputParam

    from evals.tasks.task import Task

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DATABASE: Final = "var/demo.sqlite3"
"""Where the demo keeps what it does: beside the server's own database, and never in it."""

_TOKENS = 131_072
_SECONDS = 120.0  # that the server may take to become ready


def demo(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the page's address, and open no browser.")] = False,
) -> None:
    """Ask the embedded model about a text that it cannot read, and show how it finds the answer."""
    _configure(port)

    from evals.tasks.needle import make
    from server.commands import serving
    from server.settings import Settings

    task = make(seed=1, tokens=_TOKENS, distractors=0)
    ending = threading.Event()

    def begin(address: str) -> None:
        threading.Thread(
            target=_ask, args=(address, task, ending), kwargs={"opens": not no_open}, name="demo", daemon=True
        ).start()

    with suppress(KeyboardInterrupt):
        serving.serve(Settings.load(), "warning", begin)
    ending.set()
    out.print(f"\nThe demo has ended. What it did is kept in {DATABASE}.")


def _configure(port: int) -> None:
    """Have this process serve the embedded model to this machine, whatever its folder and its variables configure."""
    for name in [name for name in os.environ if name.startswith("RANTS_")]:
        del os.environ[name]
    os.environ |= {
        "RANTS_CONFIG": os.devnull,
        "RANTS_SERVER__HOST": "127.0.0.1",
        "RANTS_SERVER__PORT": str(port),
        "RANTS_STATE__SQLITE_PATH": DATABASE,
    }


def _ask(address: str, task: Task, ending: threading.Event, *, opens: bool) -> None:
    """Ask the server at `address`, as any client does, and tell what comes of it. Nothing is told after `ending`."""
    import httpx2
    from openai import OpenAI, OpenAIError

    try:
        _wait(address)
        with OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
            # Two messages, as the playground asks: the question is no part of the text that is searched for its words.
            said: ResponseInputParam = [
                {"role": "user", "content": task.context},
                {"role": "user", "content": task.question},
            ]
            asked = client.responses.create(model="rants-one", background=True, input=said)
            page = f"{address}/ui/runs/{asked.id}"
            out.print(
                f"\nA model that reads 8,192 tokens is asked about a text of {_TOKENS:,}:"
                f"\n  [bold]{escape(task.question)}[/bold]\nWatch it look for the answer: [bold]{page}[/bold]"
            )
            if opens and _has_display():
                webbrowser.open(page)
            with client.responses.retrieve(asked.id, stream=True) as stream:
                for event in stream:
                    if event.type in ("response.completed", "response.incomplete", "response.failed"):
                        response = event.response
    except (OpenAIError, httpx2.TransportError, TimeoutError) as error:
        if not ending.is_set():
            err.print(f"[red]rants:[/red] The question was not answered: {escape(str(error))}")
        return
    if ending.is_set() or response.status == "cancelled":
        return
    if response.error is not None:
        err.print(f"[red]rants:[/red] The question was not answered: {escape(response.error.message)}")
        return
    took = time.time() - response.created_at
    out.print(
        f"It answers, after {took:.0f} seconds: [bold]{escape(response.output_text)}[/bold]\n"
        f"The text says: {task.answer}. Ask more at {address}/ui/playground; Ctrl+C ends the demo."
    )


def _wait(address: str) -> None:
    """Wait until the server is ready.

    Raises:
        TimeoutError: it takes too long.
    """
    import httpx2

    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{address}/health/ready", timeout=_SECONDS).is_success:
                return
        except httpx2.TransportError:
            pass  # it does not listen yet
        time.sleep(0.1)
    raise TimeoutError(f"the server was not ready within {_SECONDS:.0f} seconds")


def _has_display() -> bool:
    """Whether a browser would be seen, and not take the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
