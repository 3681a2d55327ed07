"""Real requests, mutated: each is answered, in time and in the error shape, and the server is none the worse for it."""

from __future__ import annotations

import json
import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.mutations import mutated
from tests.requests import Answered, Request, requests, send
from tests.support import MODEL, ServerProcess, eventually, sse

SEED = os.environ.get("FUZZ_SEED") or secrets.token_hex(4)
"""`FUZZ_SEED=... pytest` repeats a run, and its number a case."""

PATIENCE = 30.0  # seconds; most are answered in milliseconds
REFUSALS = {400, 403, 404, 405, 408, 413, 415, 431}
# An error that names no field speaks of all that was sent.
WHOLE = ("body", "request", "HTTP", "JSON", "/", "Method", "surrogate")


@pytest.fixture
def asked(client: OpenAI, backend: ScriptedBackend) -> list[Request]:
    """What clients ask, of responses that are there."""
    backend.script = in_turn(Reply(["Hello", " there."]))
    kept = [client.responses.create(model=MODEL, input="Hello?") for _ in range(2)]
    kept.append(client.responses.create(model=MODEL, input="Hello?", background=True))
    victims = [client.responses.create(model=MODEL, input="Hello?").id for _ in range(5)]
    items = [item.id for response in kept for item in response.output if item.id]
    return requests([response.id for response in kept], items, victims)


def wrong(request: Request, answer: Answered) -> str | None:
    """What is wrong with an answer; None where nothing is."""
    if answer.status == 0:
        return "the connection was closed without an answer"
    if answer.status in (200, 307):
        return None if answer.status == 307 or request.method == "HEAD" else wrong_ending(answer)
    if answer.status not in REFUSALS:
        return f"the status is {answer.status}"
    if not answer.headers.get("x-request-id"):
        return "there is no x-request-id"
    if request.method == "HEAD":
        return None
    if answer.headers.get("content-type") != "application/json":
        return f"an error of type {answer.headers.get('content-type')}"
    said: dict[str, Any] = json.loads(answer.body)
    if set(said) != {"error"} or set(said["error"]) != {"message", "type", "param", "code"}:
        return "the error has another shape"
    error = said["error"]
    if not error["message"] or not error["type"]:
        return "the error says nothing"
    if error["param"] is None and not any(word in error["message"] for word in WHOLE):
        return "the error does not say what it is about"
    return None


def wrong_ending(answer: Answered) -> str | None:
    """What is wrong with an answer that is none of an error."""
    match answer.headers["content-type"].partition(";")[0]:
        case "application/json":
            json.loads(answer.body)
            return None
        case "text/plain":
            return None  # the metrics
    names = [(name, data) for name, data in sse(answer.body.decode().splitlines())]
    if not names:
        return None  # joined after its end
    name, last = names[-1]
    over = last == "[DONE]" or name in ("response.completed", "response.incomplete", "response.failed")
    return None if over else f"the stream ends with {name} {last}"


def tried(cases: Sequence[tuple[int, Request]], server: ServerProcess) -> Counter[int]:
    """Send each, several at once; gives how often each status came.

    Raises:
        AssertionError: with all that went wrong, and how to repeat it.
    """
    parts = urlsplit(server.address)
    address = parts.hostname or "", parts.port or 0

    def ask(case: tuple[int, Request]) -> tuple[int, str | None]:
        number, request = case
        answer = Answered(0, {}, b"")
        try:
            answer = send(request, address, within=PATIENCE)
            problem = wrong(request, answer)
        except (OSError, HTTPException, ValueError, KeyError) as error:
            problem = repr(error)
        if problem is None:
            return answer.status, None
        what = f"FUZZ_SEED={SEED}, case {number}: {problem}\n  {request.curl(server.address)}\n  {answer.body[:1000]!r}"
        return answer.status, what

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(ask, cases))
    problems = [problem for _, problem in results if problem]
    assert not problems, f"{len(problems)} of {len(cases)}:\n" + "\n".join(problems[:40])
    return Counter(status for status, _ in results)


def cases(asked: list[Request], count: int, *, first: int = 0) -> Iterator[tuple[int, Request]]:
    """So many mutated requests; each is made of the seed and its number."""
    for number in range(first, first + count):
        dice = random.Random(f"{SEED} {number}")
        yield number, mutated(dice.choice(asked), dice)


def assert_well(server: ServerProcess, client: OpenAI, backend: ScriptedBackend) -> None:
    """Nothing runs any more, all that was begun is ended in the store, and a plain question is answered."""
    eventually(lambda: backend.open == 0)
    eventually(lambda: server.rows("SELECT id, status FROM run WHERE completed_at IS NULL") == [])
    assert server.rows("PRAGMA integrity_check") == [("ok",)]
    assert server.rows("PRAGMA foreign_key_check") == []
    assert client.responses.create(model=MODEL, input="Hello?").output_text == "Hello there."
    assert "Traceback" not in server.log


def test_what_clients_send_is_answered(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend, asked: list[Request]
) -> None:
    assert set(tried([*enumerate(asked)], server)) == {200, 400, 404}  # an image that nobody sees, and no such page


def test_mutated_requests_are_answered(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend, asked: list[Request]
) -> None:
    tried([*cases(asked, 250)], server)
    assert_well(server, client, backend)


@pytest.mark.slow
def test_five_thousand_mutated_requests_are_answered(
    server: ServerProcess, client: OpenAI, backend: ScriptedBackend, asked: list[Request]
) -> None:
    seen: Counter[int] = Counter()
    before = server.descriptors
    for first in range(0, 5000, 500):
        seen += tried([*cases(asked, 500, first=first)], server)
        assert_well(server, client, backend)
    assert all(seen[status] for status in (200, 400, 404, 405, 415, 431)), seen
    eventually(lambda: server.descriptors <= before + 5)
