"""What becomes of each fault of a backend, asked in all four ways: the right answer or the right error."""

from __future__ import annotations

import openai
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from tests.support import WAYS, Asking

pytestmark = pytest.mark.parametrize("way", WAYS, ids=str)

GOOD = Reply(["Good ", "day: ", "äöü 🏳️‍🌈"], usage=usage(21, 4))
TEXT = "".join(GOOD.pieces)


def refused(way: Asking, client: OpenAI) -> openai.APIStatusError:
    """The error that comes instead of an answer, before any of it."""
    with pytest.raises(openai.APIStatusError) as failed:
        way.ask(client)
    return failed.value


HARMLESS = {
    "slow-first-token": Reply(GOOD.pieces, first_delay=0.5, usage=GOOD.usage),
    "slow-pieces": Reply(GOOD.pieces, delay=0.2, usage=GOOD.usage),
    "no-done": Reply(GOOD.pieces, fault="no_done", usage=GOOD.usage),
    "one-json-object": Reply(GOOD.pieces, streamed=False, usage=GOOD.usage),
    "a-byte-a-write": Reply(GOOD.pieces, bytes_per_write=1, usage=GOOD.usage),
    "split-characters": Reply(GOOD.pieces, bytes_per_write=7, usage=GOOD.usage),
    "json-split": Reply(GOOD.pieces, streamed=False, bytes_per_write=3, usage=GOOD.usage),
    "a-character-a-piece": Reply(list(TEXT), usage=GOOD.usage),
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_is_only_slow_or_sloppy_is_answered_in_full(
    client: OpenAI, backend: ScriptedBackend, way: Asking, fault: str
) -> None:
    backend.script = in_turn(HARMLESS[fault])
    answer = way.ask(client)
    assert (answer.text, answer.ended, answer.usage) == (TEXT, "stop", (21, 4))
    assert len(backend.calls) == 1


def test_usage_that_is_not_told_is_estimated(client: OpenAI, backend: ScriptedBackend, way: Asking) -> None:
    backend.script = in_turn(Reply(GOOD.pieces))
    answer = way.ask(client, "eight by")
    assert (answer.text, answer.usage) == (TEXT, (2, -(-len(TEXT.encode()) // 4)))


def test_a_429_is_tried_again_when_the_backend_says(client: OpenAI, backend: ScriptedBackend, way: Asking) -> None:
    backend.script = in_turn(Reply(status=429, headers={"Retry-After": "1"}), GOOD)
    assert way.ask(client).text == TEXT
    first, second = backend.calls
    assert second.at - first.at >= 1
    assert first.raw == second.raw


_FAR = "Fri, 31 Dec 1999 99999999999:59:59 GMT"


@pytest.mark.parametrize(
    "wish", ["soon", "", "nan", "inf", "-5", "0", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 99 Xxx", _FAR]
)
def test_a_wish_that_makes_no_sense_is_not_waited_for(
    client: OpenAI, backend: ScriptedBackend, way: Asking, wish: str
) -> None:
    backend.script = in_turn(Reply(status=503, headers={"Retry-After": wish}), GOOD)
    assert way.ask(client).text == TEXT
    assert len(backend.calls) == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(client: OpenAI, backend: ScriptedBackend, way: Asking, status: int) -> None:
    backend.script = in_turn(Reply(status=status), Reply(status=status), GOOD)
    assert way.ask(client).text == TEXT
    assert len(backend.calls) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_what_does_not_pass_is_given_up_after_two_more_tries(
    client: OpenAI, backend: ScriptedBackend, way: Asking, status: int
) -> None:
    backend.script = in_turn(Reply(status=status, error={"message": "so busy"}))
    error = refused(way, client)
    assert (error.status_code, error.code, error.type) == (503, "backend_unavailable", "server_error")
    assert "so busy" in error.message
    assert len(backend.calls) == 3


def test_a_connection_that_is_dropped_without_an_answer_is_tried_again(
    client: OpenAI, backend: ScriptedBackend, way: Asking
) -> None:
    backend.script = in_turn(Reply(fault="drop"), GOOD)
    assert way.ask(client).text == TEXT
    assert len(backend.calls) == 2
    backend.script = in_turn(Reply(fault="drop"))
    assert refused(way, client).code == "backend_unavailable"
    assert len(backend.calls) == 5


def test_a_wait_that_is_too_long_is_left_to_the_client(client: OpenAI, backend: ScriptedBackend, way: Asking) -> None:
    backend.script = in_turn(Reply(status=429, headers={"Retry-After": "60"}), GOOD)
    error = refused(way, client)
    assert (error.status_code, error.response.headers["retry-after"]) == (503, "60")
    assert len(backend.calls) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_the_backend_refuses_is_not_tried_again(
    client: OpenAI, backend: ScriptedBackend, way: Asking, status: int
) -> None:
    backend.script = in_turn(Reply(status=status, error={"message": "not like this"}), GOOD)
    error = refused(way, client)
    assert (error.status_code, error.code) == (400, "backend_rejected")
    assert "not like this" in error.message
    assert len(backend.calls) == 1


def test_a_backend_that_is_away_is_unavailable(client: OpenAI, backend: ScriptedBackend, way: Asking) -> None:
    with backend.away():
        error = refused(way, client)
    assert (error.status_code, error.code) == (503, "backend_unavailable")
    assert str(backend.port) in error.message
    assert way.ask(client).text == "Hello there."


CUT_EARLY = {
    "cut": Reply(fault="cut"),
    "malformed": Reply(fault="malformed"),
    "no-finish": Reply(finish_reason=None),
    "cut-while-thinking": Reply(reasoning=["hm"], fault="cut"),
}


@pytest.mark.parametrize("fault", CUT_EARLY)
def test_a_reply_that_breaks_before_its_text_is_a_bad_gateway(
    client: OpenAI, backend: ScriptedBackend, way: Asking, fault: str
) -> None:
    backend.script = in_turn(CUT_EARLY[fault], GOOD)
    error = refused(way, client)
    assert (error.status_code, error.code) == (502, "bad_reply")
    assert len(backend.calls) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "out of memory"}, 503, "backend_unavailable"),
        ({"message": "out of memory", "code": 500}, 503, "backend_unavailable"),
        ({"message": "bad schema", "code": 400}, 400, "backend_rejected"),
        ({"message": "too long", "code": "context_length_exceeded"}, 400, "context_length_exceeded"),
    ],
)
def test_an_error_instead_of_a_stream_has_the_status_that_it_means(
    client: OpenAI, backend: ScriptedBackend, way: Asking, error: dict[str, object], status: int, code: str
) -> None:
    backend.script = in_turn(Reply(fault="error", error=error), GOOD)
    failed = refused(way, client)
    assert (failed.status_code, failed.code) == (status, code)
    assert str(error["message"]) in failed.message
    assert len(backend.calls) == 1


NOT_CHUNKS = [
    "",
    "null",
    "5",
    "[]",
    '{"choices": 5}',
    '{"choices": [null]}',
    '{"choices": [{"delta": "text"}]}',
    '{"choices": [{"delta": {"content": 5}}]}',
    '{"choices": [{"delta": {"content": ["text"]}}]}',
    '{"choices": [{"delta": {"content": "\\ud83c"}}]}',
    '{"choices": [], "usage": 5}',
    '{"choices": [], "usage": {"prompt_tokens": "many"}}',
]


@pytest.mark.parametrize("event", NOT_CHUNKS)
def test_an_event_that_is_no_chunk_is_a_bad_gateway(
    client: OpenAI, backend: ScriptedBackend, way: Asking, event: str
) -> None:
    backend.script = in_turn(Reply(fault="malformed", event=event), GOOD)
    error = refused(way, client)
    assert (error.status_code, error.code) == (502, "bad_reply")
    assert len(backend.calls) == 1


BROKEN = {
    "cut": Reply(GOOD.pieces, fault="cut"),
    "malformed": Reply(GOOD.pieces, fault="malformed"),
    "no-finish": Reply(GOOD.pieces, finish_reason=None),
    "error": Reply(GOOD.pieces, fault="error"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_reply_that_breaks_after_its_text_is_an_error_and_never_asked_again(
    client: OpenAI, backend: ScriptedBackend, way: Asking, fault: str
) -> None:
    backend.script = in_turn(BROKEN[fault], GOOD)
    code = "backend_unavailable" if fault == "error" else "bad_reply"
    if way.stream:
        answer = way.ask(client)
        assert (answer.text, answer.ended) == (TEXT, "failed")
        assert answer.code == (code if way.api == "chat" else "server_error")
    else:
        assert refused(way, client).code == code
    assert len(backend.calls) == 1
