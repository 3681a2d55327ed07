"""Bytes on a socket that no client library sends: the server answers or hangs up, in time, and goes on."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.requests import Answered, received
from tests.support import MODEL, ServerProcess, eventually

BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}], "stream": True}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
ASK = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    parts = urlsplit(server.address)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30) as connection:
        yield connection


def said(server: ServerProcess, data: bytes) -> Answered:
    with connected(server) as connection:
        connection.sendall(data)
        return received(connection)


def closed(connection: socket.socket) -> bool:
    """Whether the server has hung up; waits for it."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def error_of(answer: Answered) -> tuple[int, str]:
    """Status and message of an error in our shape."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status, error["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n\r\nHELLO\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00" * 100,
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nName: a\x00b\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_error_shape(server: ServerProcess, data: bytes) -> None:
    status, _ = error_of(said(server, data))
    assert status == 400


def test_a_head_without_an_end_is_refused(server: ServerProcess) -> None:
    status, message = error_of(said(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000))
    assert (status, "65536" in message) == (431, True)
    assert error_of(said(server, b"GET /" + b"x" * 70_000))[0] == 431


def test_http_1_0_is_answered_and_closed(server: ServerProcess) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert received(connection).status == 200
        assert closed(connection)


def test_pipelined_requests_are_answered_in_their_order(server: ServerProcess, backend: ScriptedBackend) -> None:
    with connected(server) as connection:
        connection.sendall(ASK + LIVE + b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        whole = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", whole) == [b"200", b"200", b"404"]
    assert whole.index(b"[DONE]") < whole.index(b'{"status":"ok"}') < whole.index(b"/v1/nothing")


def test_a_body_in_chunks_of_a_byte_is_read(server: ServerProcess, backend: ScriptedBackend) -> None:
    with connected(server) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in BODY:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert b"[DONE]" in received(connection, "POST").body


def test_half_a_request_is_not_waited_for_without_end(server: ServerProcess) -> None:
    chunk = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"
    with ExitStack() as stack:
        silent = stack.enter_context(connected(server))
        begun = {part: stack.enter_context(connected(server)) for part in (b"\r\n", HEAD[:9], HEAD, ASK[:-10], chunk)}
        begun[LIVE] = stack.enter_context(connected(server))
        for part, connection in begun.items():
            connection.sendall(part)
        assert received(begun[LIVE]).status == 200
        begun[LIVE].sendall(HEAD)
        for connection in begun.values():
            status, message = error_of(received(connection))
            assert (status, "2 seconds" in message) == (408, True)
            assert closed(connection)
        assert closed(silent)


def test_a_head_that_comes_byte_by_byte_is_not_waited_for_without_end(server: ServerProcess) -> None:
    with connected(server) as connection:
        for byte in HEAD * 10:
            try:
                connection.sendall(b"%c" % byte)
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.02)
        pytest.fail("the server has read for longer than its time")


def test_whoever_hangs_up_at_any_moment_leaves_nothing_behind(server: ServerProcess, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["Hello"] * 20, delay=0.02))
    before = server.descriptors
    for end in range(0, len(ASK), 19):
        with connected(server) as connection:
            connection.sendall(ASK[:end])
    for heard in (0, 1, 300, 2000):
        for abort in (False, True):
            with connected(server) as connection:
                connection.sendall(ASK)
                left = heard
                while left > 0:
                    piece = connection.recv(left)
                    assert piece, "the answer ended before"
                    left -= len(piece)
                if abort:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    eventually(lambda: backend.open == 0)
    eventually(lambda: server.rows("SELECT id FROM run WHERE completed_at IS NULL") == [])
    eventually(lambda: server.descriptors <= before + 2)
    assert said(server, LIVE).status == 200


def test_a_reader_that_reads_nothing_holds_up_nobody(server: ServerProcess, backend: ScriptedBackend) -> None:
    backend.script = in_turn(Reply(["x" * 100_000] * 100), Reply(["Hello"]))
    with connected(server) as connection:
        connection.sendall(ASK)
        eventually(lambda: backend.open == 1)
        assert b"Hello" in said(server, ASK).body
    eventually(lambda: backend.open == 0)
