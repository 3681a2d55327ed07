"""A model server that says what a script tells it to: OpenAI's chat completions over real HTTP, with faults on demand.

    with ScriptedBackend(in_turn(Reply(status=429), Reply(["Hel", "lo"]))) as backend:
        ...  # ask http://127.0.0.1:{backend.port}/v1, twice
    assert [call.body["messages"] for call in backend.calls] == ...

A script is any callable from the request's body to a `Reply`: it can look words up, count, or play a model that writes
code. It runs in the server's own thread, one call at a time unless it is async. Everything that callers send is
recorded.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self

__all__ = ["AsyncScript", "Call", "Reply", "Script", "ScriptedBackend", "in_turn", "usage"]

type Fault = Literal["hang", "drop", "garbage", "cut", "malformed", "error", "endless", "no_done"]
type Script = Callable[[dict[str, Any]], Reply]
type AsyncScript = Callable[[dict[str, Any]], Awaitable[Reply]]

_GARBAGE = bytes(range(256)) * 4
_BETWEEN_WRITES = 0.001  # seconds, so that the kernel does not join what was written apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. Times are in seconds.

    Attributes:
        pieces: the text, cut as it is streamed.
        top: the logarithms of the probabilities of first tokens, sent with the first piece to who asks for them.
        reasoning: what is streamed before it as `reasoning_content`.
        finish_reason: why the text ends; None leaves it out.
        usage: the usage object, sent to who asks for it; None sends none. See `usage`.
        first_delay: before anything is sent, also the status.
        delay: before each piece.
        hold: after the first piece nothing more is said until it is set.
        status: any but 200 sends `error` and nothing else.
        headers: more headers of the answer.
        error: the error object of a status or of the fault `error`.
        fault: `hang` never answers, not even with a status; `drop` closes the connection instead, `garbage` after bytes
            that are no HTTP. After the pieces, `cut` closes the connection, `malformed` sends `event`, `error` sends
            `error` as an event, `endless` sends the last piece again and again; `no_done` leaves out `[DONE]`.
        event: the data of the event that the fault `malformed` sends; by default not JSON.
        streamed: False answers with one JSON object, also when a stream is asked for.
        bytes_per_write: cuts what is sent into writes of so many bytes, without regard for characters or events.
    """

    pieces: Sequence[str] = field(default=(), kw_only=False)
    top: Mapping[str, float] = field(default_factory=dict)
    reasoning: Sequence[str] = ()
    finish_reason: str | None = "stop"
    usage: Mapping[str, Any] | None = None
    first_delay: float = 0.0
    delay: float = 0.0
    hold: threading.Event | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=lambda: {"message": "scripted failure"})
    fault: Fault | None = None
    event: str = '{"choices": [{"delta"'
    streamed: bool = True
    bytes_per_write: int | None = None


def usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    """A usage object: tokens of the prompt, of the reply, and of the prompt that were cached."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def in_turn(*replies: Reply) -> Script:
    """The script that gives `replies` one after the other, and the last one for ever."""
    left = list(replies)

    def script(body: dict[str, Any]) -> Reply:
        return left.pop(0) if len(left) > 1 else left[0]

    return script


@dataclass(slots=True, eq=False)
class Call:
    """One request that arrived.

    Attributes:
        path: without the query.
        headers: by lower-case name.
        raw: the body's bytes.
        body: the body's JSON; empty where there is none.
        at: when it was whole, by `time.monotonic()`.
        over: the answer was sent, or the caller has left.
        hung_up: the caller left before the answer was whole.
    """

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    body: dict[str, Any]
    at: float
    over: bool = False
    hung_up: bool = False


class ScriptedBackend:
    """The server; it listens on a free port of 127.0.0.1 inside `with`, in a thread of its own.

    A call whose script raises is cut off, and the error comes out at the end of `with`.

    Args:
        script: gives the answer to each chat completion; may be exchanged at any time.
        models: what `GET /v1/models` lists.
    """

    def __init__(self, script: Script | AsyncScript, *, models: Sequence[str] = ("scripted",)) -> None:
        self.script: Script | AsyncScript = script
        self.models = models
        self.requests: list[Call] = []
        self.port = 0
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-backend", daemon=True)

    @property
    def base_url(self) -> str:
        """What goes into `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def calls(self) -> list[Call]:
        """The requests for a chat completion so far, oldest first."""
        return [request for request in self.requests if request.path.endswith("/chat/completions")]

    @property
    def open(self) -> int:
        """How many calls are being answered."""
        return sum(not call.over for call in self.calls)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Inside, connections are refused; afterwards it listens on the same port again."""
        self._do(self._close())
        try:
            yield
        finally:
            self._do(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self.failure is not None and error is None:
            raise self.failure

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._server.abort_clients()
        await self._server.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)


class _Connection(asyncio.Protocol):
    """One connection: HTTP/1.1, kept alive, one request after the other."""

    def __init__(self, backend: ScriptedBackend) -> None:
        self._backend = backend
        self._received = bytearray()
        self._call: Call | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._take()

    def connection_lost(self, error: Exception | None) -> None:
        if self._call is not None:
            self._call.hung_up = self._call.over = True
        if self._task is not None:
            self._task.cancel()

    def _take(self) -> None:
        """Begin to answer the next request, if it is whole and the one before it is answered."""
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._call is not None:
            return
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        whole = end + 4 + int(headers.get("content-length", 0))
        if len(self._received) < whole:
            return
        raw = bytes(self._received[end + 4 : whole])
        del self._received[:whole]
        body = json.loads(raw) if raw else {}
        self._call = Call(method, target.partition("?")[0], headers, raw, body, time.monotonic())
        self._backend.requests.append(self._call)
        self._task = asyncio.create_task(self._answer(self._call))
        self._task.add_done_callback(self._ended)

    async def _answer(self, call: Call) -> None:
        if call.path.endswith("/models"):
            listed = [
                {"id": model, "object": "model", "created": 0, "owned_by": "script"} for model in self._backend.models
            ]
            await self._send(_whole(200, {"object": "list", "data": listed}, {}))
        elif call.path.endswith("/chat/completions"):
            reply = self._backend.script(call.body)
            await self._play(reply if isinstance(reply, Reply) else await reply, call.body)
        else:
            await self._send(_whole(404, {"error": {"message": f"no such path: {call.path}"}}, {}))
        call.over = True
        self._call = self._task = None
        self._take()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._backend.failure = error
            self._transport.abort()

    async def _play(self, reply: Reply, body: dict[str, Any]) -> None:
        await asyncio.sleep(reply.first_delay)
        if reply.fault == "hang":
            await asyncio.Event().wait()
        if reply.fault == "drop":
            self._transport.close()
            return
        if reply.fault == "garbage":
            self._transport.write(_GARBAGE)
            self._transport.close()
            return
        if reply.status != 200:
            await self._send(_whole(reply.status, {"error": reply.error}, reply.headers), reply.bytes_per_write)
        elif reply.streamed and body.get("stream"):
            await self._stream(reply, body)
        else:
            message = {"role": "assistant", "content": "".join(reply.pieces)}
            choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason, **_scores(reply, body)}
            answer = {**_base(body, "chat.completion"), "choices": [choice]}
            if reply.usage is not None:
                answer["usage"] = reply.usage
            await self._send(_whole(200, answer, reply.headers), reply.bytes_per_write)

    async def _stream(self, reply: Reply, body: dict[str, Any]) -> None:
        base = _base(body, "chat.completion.chunk")

        async def event(data: str) -> None:
            payload = f"data: {data}\n\n".encode(errors="backslashreplace")
            await self._send(b"%x\r\n%b\r\n" % (len(payload), payload), reply.bytes_per_write)

        async def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, **more}
            await event(_json({**base, "choices": [choice]}))

        headers = {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **reply.headers}
        await self._send(_head(200, headers))
        await chunk({"role": "assistant", "content": ""})
        for thought in reply.reasoning:
            await chunk({"reasoning_content": thought})
        for position, piece in enumerate(reply.pieces):
            await asyncio.sleep(reply.delay)
            while position > 0 and reply.hold is not None and not reply.hold.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # another thread sets it
            await chunk({"content": piece}, **(_scores(reply, body) if position == 0 else {}))
        match reply.fault:
            case "cut":
                self._transport.close()
                return
            case "endless":
                while True:
                    await chunk({"content": reply.pieces[-1]})
                    await asyncio.sleep(_BETWEEN_WRITES)
            case "malformed":
                await event(reply.event)
            case "error":
                await event(_json({"error": reply.error}))
            case _:
                if reply.finish_reason is not None:
                    await chunk({}, reply.finish_reason)
                if reply.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
                    await event(_json({**base, "choices": [], "usage": reply.usage}))
                if reply.fault != "no_done":
                    await event("[DONE]")
        await self._send(b"0\r\n\r\n")

    async def _send(self, data: bytes, bytes_per_write: int | None = None) -> None:
        step = bytes_per_write or len(data)
        for start in range(0, len(data), step):
            if start > 0:
                await asyncio.sleep(_BETWEEN_WRITES)
            self._transport.write(data[start : start + step])


def _scores(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    if not reply.top or not body.get("logprobs"):
        return {}
    top = [{"token": token, "logprob": logprob} for token, logprob in reply.top.items()][: body["top_logprobs"]]
    return {"logprobs": {"content": [{"token": reply.pieces[0], "logprob": 0.0, "top_logprobs": top}]}}


def _base(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-scripted", "object": kind, "created": 0, "model": body.get("model")}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _whole(status: int, value: Any, headers: Mapping[str, str]) -> bytes:
    body = _json(value).encode(errors="backslashreplace")  # half of a surrogate pair is JSON all the same
    return _head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}) + body
