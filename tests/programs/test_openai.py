"""The `openai` backend on the wire: what servers, connections and event loops do to it."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from dspy.lm15 import (
    Config,
    FunctionTool,
    InvalidRequestError,
    LM15Error,
    Message,
    Request,
    StreamAssemblyError,
    TokenLogprob,
    ToolCallPart,
    TopLogprob,
    TransportError,
)
from dspy.lm15 import TimeoutError as LM15TimeoutError

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs.adapter import text_of
from programs.backends.openai import OpenAIEngine
from programs.settings import ModelSettings, ResilienceSettings

HELLO = Request(model="m", messages=(Message.user("Hello?"),))
EVENTS = b'data: {"choices": [{"delta": {"content": "Hello."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ANSWER = HEAD + chunk(EVENTS) + chunk(b"")


@dataclass
class Wire:
    """A server that answers each request as the test says, byte by byte.

    Attributes:
        answer: writes the answer to one request; False closes the connection after it.
        requests: what was asked: the head of each.
        connections: how many were ever opened.
        closed: how many of them the other side has closed.
    """

    answer: Callable[[asyncio.StreamWriter], Awaitable[bool]]
    base_url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, length = head.lower().partition(b"content-length:")
                await reader.readexactly(int(length.partition(b"\r\n")[0] or 0))
                self.requests.append(head)
                if not await self.answer(writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.closed += 1
        finally:
            writer.close()


async def hello(writer: asyncio.StreamWriter) -> bool:
    writer.write(ANSWER)
    return True


def saying(*pieces: bytes, close: bool = False) -> Callable[[asyncio.StreamWriter], Awaitable[bool]]:
    """Writes each of the pieces on its own."""

    async def answer(writer: asyncio.StreamWriter) -> bool:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        return not close

    return answer


@asynccontextmanager
async def wired(answer: Callable[[asyncio.StreamWriter], Awaitable[bool]] = hello) -> AsyncIterator[Wire]:
    wire = Wire(answer)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield wire


@asynccontextmanager
async def engine_for(base_url: str, **resilience: Any) -> AsyncIterator[OpenAIEngine]:
    entry = ModelSettings(provider="openai", base_url=base_url, model="m")
    patience = {"max_retries": 0, "backoff_seconds": 0.001, "read_timeout_seconds": 5.0, **resilience}
    engine = OpenAIEngine("generator", entry, ResilienceSettings(**patience))
    try:
        yield engine
    finally:
        await engine.aclose()


async def said(engine: OpenAIEngine, request: Request = HELLO) -> str:
    async with asyncio.timeout(10):
        return (await engine.complete(request)).text or ""


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for is no event
            await asyncio.sleep(0.005)


async def test_many_calls_at_once_share_the_connections_that_there_may_be() -> None:
    async with wired() as wire, engine_for(wire.base_url, max_connections=8) as engine:
        for _ in range(3):
            assert set(await asyncio.gather(*(said(engine) for _ in range(40)))) == {"Hello."}
        assert (wire.connections, len(wire.requests)) == (8, 120)


async def test_calls_of_tools_come_in_pieces_and_are_told_in_order() -> None:
    deltas = (
        {"index": 0, "id": "a", "function": {"name": "weather", "arguments": '{"city": '}},
        {"index": 1, "id": "b", "function": {"name": "time", "arguments": "tomorrow"}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
    )
    events = [
        b"data: %b\n\n" % json.dumps({"choices": [{"delta": {"tool_calls": [delta]}}]}).encode() for delta in deltas
    ]
    stream = [HEAD, *map(chunk, [*events, EVENTS]), chunk(b"")]
    asked = replace(HELLO, tools=(FunctionTool("weather", "Tells it."), FunctionTool("time")))
    async with wired(saying(*stream)) as wire, engine_for(wire.base_url) as engine:
        reply = await engine.complete(asked)
    assert text_of(reply) == "Hello."
    assert [(call.id, call.name, call.input) for call in reply.message.parts_of(ToolCallPart)] == [
        ("a", "weather", {"city": "Rome"}),
        ("b", "time", {"arguments": "tomorrow"}),
    ]


def scored(*tokens: Any) -> list[bytes]:
    """A stream whose first chunk tells of tokens."""
    choice = {"delta": {"content": "H"}, "logprobs": {"content": tokens}}
    return [HEAD, chunk(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode()), chunk(EVENTS), chunk(b"")]


async def test_how_likely_tokens_are_is_read_where_it_was_asked_for() -> None:
    top = [{"token": "H", "logprob": -0.5}, {"token": "", "logprob": -2, "bytes": [231, 140]}]
    token = {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": top}
    asked = replace(HELLO, config=Config(logprobs=2))
    async with wired(saying(*scored(token))) as wire, engine_for(wire.base_url) as engine:
        told = await engine.complete(asked)
        quiet = await engine.complete(HELLO)
    assert told.logprobs == (
        TokenLogprob("H", -0.5, bytes=(72,), top=(TopLogprob("H", -0.5), TopLogprob("", -2.0, bytes=(231, 140)))),
    )
    assert quiet.logprobs is None


@pytest.mark.parametrize("token", [7, {}, {"token": 7, "logprob": 0.0}, {"token": "a", "logprob": "high"}])
async def test_tokens_that_are_none_make_a_bad_reply_of_one_that_should_have_them(token: Any) -> None:
    asked = replace(HELLO, config=Config(logprobs=2))
    async with wired(saying(*scored(token))) as wire, engine_for(wire.base_url) as engine:
        with pytest.raises(StreamAssemblyError, match="not a chat completion chunk"):
            await said(engine, asked)
        assert await said(engine) == "HHello."


async def test_waiting_for_a_free_connection_is_not_connecting() -> None:
    slow = saying(b"", b"", b"", b"", b"", b"", ANSWER)
    async with (
        wired(slow) as wire,
        engine_for(wire.base_url, max_connections=1, connect_timeout_seconds=0.1) as engine,
    ):
        assert await asyncio.gather(*(said(engine) for _ in range(4))) == ["Hello."] * 4
        assert wire.connections == 1


@pytest.mark.parametrize(
    ("answer", "reused"),
    [
        (saying(HEAD + chunk(EVENTS), chunk(b"")), True),
        (saying(HEAD + chunk(EVENTS)), False),
        (saying(HEAD + chunk(EVENTS), close=True), False),
        (saying(ANSWER[:150], ANSWER[150:-3], ANSWER[-3:-1], ANSWER[-1:]), True),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(EVENTS), EVENTS)), True),
        (saying(b"HTTP/1.1 200 OK\r\n\r\n" + EVENTS, close=True), False),
    ],
    ids=["end-late", "no-end", "cut-after-done", "pieces", "length", "until-closed"],
)
async def test_a_connection_is_used_again_where_its_body_has_ended(
    answer: Callable[[asyncio.StreamWriter], Awaitable[bool]], reused: bool
) -> None:
    async with wired(answer) as wire, engine_for(wire.base_url) as engine:
        assert [await said(engine), await said(engine)] == ["Hello."] * 2
        assert wire.connections == (1 if reused else 2)


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    async with wired(saying(ANSWER, close=True)) as wire, engine_for(wire.base_url) as engine:
        for _ in range(3):
            assert await said(engine) == "Hello."
            await asyncio.sleep(0.05)
        assert wire.connections == 3


@pytest.mark.parametrize("retries", [0, 1])
async def test_a_connection_that_the_server_closes_under_a_request_is_tried_again(retries: int) -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER if len(wire.requests) != 2 else b"")
        return len(wire.requests) != 2

    async with wired(answer) as wire, engine_for(wire.base_url, max_retries=retries) as engine:
        assert await said(engine) == "Hello."
        if retries:
            assert await said(engine) == "Hello."
        else:
            with pytest.raises(TransportError):
                await said(engine)


async def test_a_redirect_is_not_followed_and_no_cookie_is_kept() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /v2\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with wired(saying(moved)) as wire, engine_for(wire.base_url, max_retries=2) as engine:
        for _ in range(2):
            with pytest.raises(InvalidRequestError):
                await said(engine)
        assert [head.partition(b" HTTP")[0] for head in wire.requests] == [b"POST /v1/chat/completions"] * 2
        assert not any(b"cookie" in head.lower() for head in wire.requests)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b"[]",
        b"\xff\xfe",
        b"[" * 20_000,
        b'"\\ud83c"',
        b'{"error": null}',
        b'{"error": [1]}',
        b'{"error": {"message": ["no"], "code": [1], "type": {}}}',
        b'{"error": {"message": "no", "code": true}}',
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_refusal_is_one_whatever_comes_with_it(body: bytes) -> None:
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=base64\r\nContent-Length: %d\r\n\r\n"
    async with wired(saying(head % len(body) + body)) as wire, engine_for(wire.base_url) as engine:
        with pytest.raises(InvalidRequestError) as failed:
            await said(engine)
        str(failed.value).encode()


@pytest.mark.parametrize("pieces", [[], [HEAD], [HEAD, chunk(EVENTS[:90])]], ids=["nothing", "head", "body"])
async def test_cancelling_hangs_up_at_once(pieces: list[bytes]) -> None:
    async with wired(saying(*pieces)) as wire, engine_for(wire.base_url) as engine:
        calls = [asyncio.create_task(said(engine)) for _ in range(20)]
        await until(lambda: len(wire.requests) == 20)
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        await until(lambda: wire.closed == 20)
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*calls, return_exceptions=True)
        )


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/json"])
async def test_a_body_whose_framing_breaks_is_cut_off_and_not_waited_for(content_type: bytes) -> None:
    head = HEAD.replace(b"text/event-stream", content_type)
    async with wired(saying(head, chunk(b'data: {"cho'), b"zz\r\n")) as wire, engine_for(wire.base_url) as engine:
        with pytest.raises(StreamAssemblyError, match="cut off"):
            await said(engine)


async def test_a_server_that_does_not_take_the_body_is_silent() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    over = asyncio.Event()
    long = Request(model="m", messages=(Message.user("x" * 30_000_000),))
    async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1000) as server:
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with engine_for(base_url, read_timeout_seconds=0.3) as engine:
            with pytest.raises(LM15TimeoutError):
                await said(engine, long)
        over.set()


async def test_a_long_body_arrives() -> None:
    async with wired() as wire, engine_for(wire.base_url) as engine:
        assert await said(engine, Request(model="m", messages=(Message.user("x" * 3_000_000),))) == "Hello."


async def test_a_name_that_is_not_resolved_in_time_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*args: Any, **options: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    async with engine_for("http://example.invalid/v1", connect_timeout_seconds=0.1) as engine:
        with pytest.raises(TransportError, match="cannot reach"):
            await said(engine)


async def test_a_tls_handshake_is_part_of_connecting() -> None:
    async with wired() as wire:
        secure = wire.base_url.replace("http:", "https:")
        async with engine_for(secure, connect_timeout_seconds=0.2) as engine:
            with pytest.raises(TransportError, match="cannot reach"):
                await said(engine)


@pytest.mark.parametrize(
    "base_url",
    [
        "nonsense",
        "ftp://127.0.0.1/v1",
        "http:///v1",
        "http://[/v1",
        "http://127.0.0.1:port/v1",
        "http://127.0.0.1:1/v1",
    ],
)
async def test_what_cannot_be_an_address_is_not_reached(base_url: str) -> None:
    async with engine_for(base_url) as engine:
        with pytest.raises(TransportError, match="cannot reach"):
            await said(engine)
        with pytest.raises(LM15Error, match="cannot reach"):
            await engine.reach(1)


@pytest.mark.parametrize(("exempt", "proxied"), [("", True), ("localhost", True), ("127.0.0.1", False), ("*", False)])
async def test_the_environment_s_proxy_is_used(monkeypatch: pytest.MonkeyPatch, exempt: str, proxied: bool) -> None:
    async with wired() as proxy, wired() as wire, engine_for(wire.base_url) as engine:
        monkeypatch.setenv("http_proxy", proxy.base_url.replace("http://", "").removesuffix("/v1"))
        monkeypatch.setenv("no_proxy", exempt)
        assert await said(engine) == "Hello."
        assert (len(proxy.requests), len(wire.requests)) == ((1, 0) if proxied else (0, 1))


def test_connections_end_with_their_event_loop_and_with_the_engine() -> None:
    with ScriptedBackend(in_turn(Reply(["Hello."]))) as backend:
        entry = ModelSettings(provider="openai", base_url=backend.base_url, model="m")
        engine = OpenAIEngine("generator", entry, ResilienceSettings())
        for _ in range(3):
            assert asyncio.run(said(engine)) == "Hello."

        async def forgotten() -> None:
            await said(OpenAIEngine("generator", entry, ResilienceSettings()))
            gc.collect()

        asyncio.run(forgotten())
        del engine
        gc.collect()  # what is not closed warns now, and warnings are errors
