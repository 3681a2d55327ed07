"""A scripted LM for recursive loops: it plays the plan that the question names, to each peer in its own dialect.

`serve` listens on a free port and prints its address. A peer's `base_url` is that address, its dialect, and `/v1`. Any
request with a plan in it comes from a root LM, and the plan's number says of which session; it is answered at once. One
whose prompt starts with `SUB` comes from a sub-LM and is answered `ok` after 50 ms. `GET /times` gives, by session,
when each request of its root LM was there and when its reply was sent, in nanoseconds of the machine's monotonic clock,
which all processes share. `GET /release` answers the requests that the plan `hold` keeps waiting.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

from evals.performance.stub import Connection, listen

Kind = Literal["iterations", "calls", "look", "hold"]
Dialect = Literal["bare", "rants", "dspy", "rlms"]

SUB_SECONDS = 0.05

# Plans and prompts are plain ASCII, so JSON does not change them: no body has to be parsed.
_PLAN = re.compile(rb"PLAN session=(\d+) (iterations|calls|look|hold)=(\d+)")
_SUB = re.compile(rb'"(?:content|text)": ?"SUB ')
_STREAM = re.compile(rb'"stream": ?true')
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
_USAGE = {"prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 330}
_FORMS = {
    "bare": "{code}",
    "rants": "I run a piece of code.\n\n```python\n{code}\n```",
    "dspy": "[[ ## reasoning ## ]]\nI run a piece of code.\n\n[[ ## code ## ]]\n```python\n{code}\n```\n\n"
    "[[ ## completed ## ]]",
    "rlms": "I run a piece of code.\n\n```repl\n{code}\n```",
}


def plan(session: int, kind: Kind, number: int = 0) -> str:
    """The question that has a root LM play `kind`; no two sessions have the same number.

    Args:
        session: what its times are found by.
        kind: `iterations` counts `x` up `number` times, a turn each, and submits it in one more; `calls` asks the
            sub-LM `number` times in one batch, and submits in the next turn how many answers came; `look` prints and
            submits the length of `context` in one turn; `hold` in two, the second when it is released.
        number: see there.
    """
    return f"PLAN session={session} {kind}={number}"


def _turn(kind: Kind, number: int, turn: int) -> tuple[str, str | None]:
    """The code of a turn, counted from 1, and what it submits."""
    match kind:
        case "iterations" if turn <= number:
            return ("x = x + 1" if turn > 1 else "x = 1") + "\nprint(x)", None
        case "iterations":
            return "print(x)", "x"
        case "calls" if turn == 1:
            prompts = f'[f"SUB {{number}}" for number in range({number})]'
            return f"answers = llm_query_batched({prompts})\nprint(len(answers))", None
        case "calls":
            return "print(len(answers))", 'answers.count("ok")'
        case "hold" if turn == 1:
            return "print(len(context))", None
        case _:
            return "print(len(context))", "len(context)"


def _script(dialect: str, code: str, submitted: str | None) -> str:
    if submitted is not None and dialect == "rlms":
        code += f'\nanswer["content"] = str({submitted})\nanswer["ready"] = True'
    elif submitted is not None:
        code += f"\nSUBMIT(str({submitted}))"
    return _FORMS[dialect].format(code=code)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _reply(text: str, *, stream: bool) -> bytes:
    base = {"id": "stub", "created": 0, "model": "scripted"}
    if not stream:
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
        }
        body = _json({**base, "object": "chat.completion", "choices": [choice], "usage": _USAGE})
        return _HEAD % (b"200 OK", b"application/json", len(body), body)
    choices: list[list[dict[str, Any]]] = [
        [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    chunks = [{**base, "object": "chat.completion.chunk", "choices": choice} for choice in choices]
    chunks[-1]["usage"] = _USAGE
    events = b"".join(b"data: %s\n\n" % _json(chunk) for chunk in chunks) + b"data: [DONE]\n\n"
    return _HEAD % (b"200 OK", b"text/event-stream", len(events), events)


class _Sessions:
    """When each session's root LM was asked and answered, and the answers that are held."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] = []
        self.asked: defaultdict[int, list[int]] = defaultdict(list)
        self.sent: defaultdict[int, list[int]] = defaultdict(list)

    def times(self) -> bytes:
        return _json({session: {"asked": asked, "sent": self.sent[session]} for session, asked in self.asked.items()})

    def release(self) -> bytes:
        held, self.held = self.held, []
        for send in held:
            send()
        return _json(len(held))


class _Stub(Connection):
    def __init__(self, sessions: _Sessions) -> None:
        super().__init__()
        self._sessions = sessions

    def answer(self, head: bytes, body: bytes) -> None:
        now = time.monotonic_ns()
        stream = _STREAM.search(body) is not None
        if head.startswith(b"GET "):
            told = self._sessions.release() if head.startswith(b"GET /release ") else self._sessions.times()
            self.transport.write(_HEAD % (b"200 OK", b"application/json", len(told), told))
        elif found := _PLAN.search(body):
            session, kind, number = int(found[1]), found[2].decode(), int(found[3])
            self._sessions.asked[session].append(now)
            turn = len(self._sessions.asked[session])
            dialect = head.split(b"/", 2)[1].decode()
            reply = _reply(_script(dialect, *_turn(kind, number, turn)), stream=stream)  # type: ignore[arg-type]
            if kind == "hold" and turn > 1:
                self._sessions.held.append(lambda: self._send_root(session, reply))
            else:
                self._send_root(session, reply)
        elif _SUB.search(body):
            asyncio.get_running_loop().call_later(SUB_SECONDS, self.transport.write, _reply("ok", stream=stream))
        else:
            said = _json({"error": {"message": "neither a plan nor a sub-LM's prompt"}})
            self.transport.write(_HEAD % (b"400 Bad Request", b"application/json", len(said), said))

    def _send_root(self, session: int, reply: bytes) -> None:
        self._sessions.sent[session].append(time.monotonic_ns())
        self.transport.write(reply)


def serve() -> None:
    """Answer until the process is stopped."""
    sessions = _Sessions()
    asyncio.run(listen(lambda: _Stub(sessions)))
