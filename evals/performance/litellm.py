"""LiteLLM's proxy, in an environment of its own that uv makes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from evals.performance.processes import Server

PACKAGE = "litellm[proxy]==1.85.0"

_START_SECONDS = 300.0  # its first start fetches it
_STOP_SECONDS = 20.0


@asynccontextmanager
async def litellm(backend: str) -> AsyncGenerator[Server]:
    """Run the proxy with one worker and its defaults, which keep nothing.

    Args:
        backend: the `base_url` of the model that it calls `rants-one`.

    Raises:
        RuntimeError: it does not start; the message says what it said.
    """
    uv = shutil.which("uv") or os.environ.get("UV")
    if uv is None:
        raise RuntimeError("LiteLLM is run by uv, which is not on the PATH.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory(prefix="rants-bench-") as folder, TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *(uv, "run", "--no-project", "--isolated", "--python", sys.executable, "--with", PACKAGE),
            *("litellm", "--config", _config(folder, backend), "--host", "127.0.0.1", "--port", str(port)),
            cwd=folder,
            stdout=said,
            stderr=said,
            start_new_session=True,  # uv's child is stopped with it
        )
        server = Server(port, process.pid)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while process.returncode is None and not await server.listens():  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            if process.returncode is not None:
                said.seek(0)
                raise RuntimeError(f"LiteLLM's proxy did not start: {said.read().decode(errors='replace')[-2000:]}")
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def _config(folder: str, backend: str) -> str:
    """Write its configuration; gives the file's name."""
    model = {"model": "openai/stub", "api_base": backend, "api_key": "none"}
    file = Path(folder, "config.yaml")
    file.write_text(json.dumps({"model_list": [{"model_name": "rants-one", "litellm_params": model}]}))
    return str(file)
