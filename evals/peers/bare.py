"""The floor: the same calls of the LM over bare sockets, without an HTTP library, a loop, code or a found answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

_PLAN = re.compile(r"(iterations|calls|look|hold)=(\d+)")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


async def start(base_url: str) -> Callable[[str, str], Awaitable[str]]:
    """See `speak`; the answer is what a loop would have found."""
    where = urlsplit(base_url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(prompt: str) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(where.hostname, where.port)
        body = json.dumps({"model": "scripted", "messages": [{"role": "user", "content": prompt}], "stream": True})
        head = f"POST {where.path}/chat/completions HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}"
        writer.write(f"{head}\r\n\r\n{body}".encode())
        said = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(said)
        if not said.startswith(b"HTTP/1.1 200 ") or length is None:
            raise RuntimeError(said.decode())
        await reader.readexactly(int(length[1]))
        idle.append((reader, writer))

    async def answer(question: str, context: str) -> str:
        found = _PLAN.search(question)
        assert found is not None
        kind, number = found[1], int(found[2])
        await call(question)
        if kind == "iterations":
            for _ in range(number):
                await call(question)
        elif kind == "calls":
            await asyncio.gather(*(call(f"SUB {position}") for position in range(number)))
            await call(question)
        elif kind == "hold":
            await call(question)
        return str(number if kind in ("iterations", "calls") else len(context))

    return answer
