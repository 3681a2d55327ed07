"""`rlms`, with its own client and its default environment: this very process, without a sandbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlm import RLM

_THREADS = 200  # it is not async: a session each


async def start(base_url: str, iterations: str = "200") -> Callable[[str, str], Awaitable[str]]:
    """See `speak`. A session takes at most so many turns."""
    backend = {"base_url": base_url, "api_key": "none", "model_name": "scripted"}
    home = Path.cwd()
    threads = ThreadPoolExecutor(_THREADS)

    def complete(question: str, context: str) -> str:
        most = int(iterations)
        program = RLM(backend="openai", backend_kwargs=backend, environment="local", max_iterations=most)
        return str(program.completion(context, root_prompt=question).response)

    async def answer(question: str, context: str) -> str:
        # Its code runs in a folder of its own, that is the whole process does: sessions at once leave it in one that
        # is gone, where nothing more can be asked.
        os.chdir(home)
        return await asyncio.get_running_loop().run_in_executor(threads, complete, question, context)

    return answer
