"""What runs in a peer's process: it reads orders from standard input and answers them, a line of JSON each.

    python speak.py <peer> <base_url> <option>...

A peer is a module beside this file that has `start(base_url, option, ...)`; most have no option. Some run in
environments in which nothing of RANTS is installed, so this file needs the standard library alone. Its first line,
`{}`, says that the peer is ready. Orders:

    {"context": 1000}         make a context of so many characters, for all that is asked from now on   -> {}
    {"text": "..."}           take this for the context, for all that is asked from now on              -> {}
    {"questions": ["..."]}    have a session for each of them, all at once
        -> {"began": ns, "ended": ns, "answers": ["..."], "failures": ["..."]}    times of the monotonic clock

Peers print, so standard output is kept for these lines and theirs goes to standard error.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Answer = Callable[[str, str], Awaitable[str]]
"""A peer, started: from a question and a context to the answer."""

_LINE = "The grey heron stood in the shallows until the tide had gone, and then it went as well.\n"


async def _speak(peer: str, base_url: str, *options: str) -> None:
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(value: dict[str, Any]) -> None:
        told.write(json.dumps(value) + "\n")
        told.flush()

    answer: Answer = await importlib.import_module(peer).start(base_url, *options)
    context = ""
    tell({})
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        if "context" in order:
            context = (_LINE * (order["context"] // len(_LINE) + 1))[: order["context"]]
            gc.collect()
            tell({})
        elif "text" in order:
            context = order["text"]
            tell({})
        else:
            tell(await _ask(answer, order["questions"], context))


async def _ask(answer: Answer, questions: list[str], context: str) -> dict[str, Any]:
    began = time.monotonic_ns()
    said = await asyncio.gather(*(answer(question, context) for question in questions), return_exceptions=True)
    ended = time.monotonic_ns()
    failures = [f"{type(one).__name__}: {one}" for one in said if isinstance(one, BaseException)]
    return {"began": began, "ended": ended, "answers": [str(one) for one in said], "failures": failures}


if __name__ == "__main__":
    asyncio.run(_speak(*sys.argv[1:]))
