"""The same weights, served by RANTS, and by llama.cpp's own server with the model's own tool calling."""

from __future__ import annotations

import json
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, Literal

from evals.performance.processes import Server, rants, running

type Way = Literal["RANTS", "own tool calling"]

WAYS: Final[tuple[Way, ...]] = ("RANTS", "own tool calling")


def serving(way: Way, gguf: Path, window: int) -> AbstractAsyncContextManager[Server]:
    """A server with the weights at temperature 0; both compute with as many threads.

    Args:
        way: which of the two.
        gguf: the weights.
        window: tokens of prompt and reply together.
    """
    threads = max(1, (os.process_cpu_count() or 1) - 1)
    if way == "RANTS":
        variables = {
            "RANTS_MODELS__GENERATOR__MODEL": str(gguf),
            "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": str(window),
            "RANTS_MODELS__GENERATOR__PARAMETERS": json.dumps({"temperature": 0, "threads": threads}),
        }
        return rants(variables=variables)
    call = f"serve({str(gguf)!r}, {window}, {threads})"
    return running(f"from evals.opencode.native import serve; {call}")
