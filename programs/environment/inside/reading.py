"""What reads long texts in a process of its own: its side of the pipes. See `programs.environment.reader`.

A request is a marshalled `(name, context, values, fields)`, where `context` is a list with the new one in it, or None
for the one before. The answer is eight bytes of length and a marshalled `(value, None)` or `(None, (class, message))`.
"""

from __future__ import annotations

import marshal
import sys
from typing import Any

from . import files, helpers


def main(memory: int) -> None:
    """Answer until the pipe closes, with at most `memory` bytes where the system can hold us to it."""
    _bound(memory)
    context: Any = ""
    functions = {**helpers.bound_to(lambda: context), **files.bound_to(lambda: context)}
    while True:
        try:
            name, new, values, fields = marshal.load(sys.stdin.buffer)  # noqa: S302 - written by the server
        except EOFError:
            return
        if new is not None:
            (context,) = new
        try:
            answer: tuple[Any, tuple[str, str] | None] = (functions[name](*values, **fields), None)
        except Exception as error:  # noqa: BLE001 - whatever it raises is told to the code that called it
            answer = (None, (type(error).__name__, str(error)))
        body = marshal.dumps(answer)
        sys.stdout.buffer.write(len(body).to_bytes(8) + body)
        sys.stdout.buffer.flush()


def _bound(memory: int) -> None:
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory if hard == resource.RLIM_INFINITY else min(memory, hard), hard))
