"""Keys, tenants, and how much each may ask."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import openai
import pytest
from openai import OpenAI

from evals.scripted import ScriptedBackend
from tests.conftest import BURST, key_of
from tests.support import MODEL, ServerProcess

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.fixture
def plain(guarded_server: ServerProcess) -> Iterator[httpx2.Client]:
    """The guarded server without the SDK, and without a key."""
    with httpx2.Client(base_url=guarded_server.address, timeout=60) as client:
        yield client


ROUTES = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("GET", "/v1/responses/resp_1"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("DELETE", "/v1/responses/resp_1"),
    ("GET", "/v1/models"),
    ("GET", f"/v1/models/{MODEL}"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {key_of('alice')}"},
        {"x-api-key": key_of("alice")[:-1]},
    ],
    ids=["none", "wrong", "basic", "almost"],
)
def test_no_route_answers_without_a_known_key(
    plain: httpx2.Client, backend: ScriptedBackend, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = plain.request(method, path, headers=headers, json=CHAT if method == "POST" else None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "invalid_api_key")
    assert "key-of" not in answer.text
    assert backend.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {key_of('alice')}"},
        {"authorization": f"bearer  {key_of('alice')}"},
        {"x-api-key": key_of("alice")},
    ],
    ids=["bearer", "lower-case", "x-api-key"],
)
def test_a_key_is_taken_as_bearer_or_as_x_api_key(plain: httpx2.Client, headers: dict[str, str]) -> None:
    assert plain.get("/v1/models", headers=headers).status_code == 200


def test_the_sdk_raises_its_own_error_for_a_wrong_key(guarded_server: ServerProcess) -> None:
    wrong = OpenAI(base_url=guarded_server.base_url, api_key="wrong")
    with wrong, pytest.raises(openai.AuthenticationError) as failed:
        wrong.models.list()
    assert failed.value.code == "invalid_api_key"


def test_a_key_that_is_not_ascii_is_just_wrong(plain: httpx2.Client) -> None:
    assert plain.get("/v1/models", headers=[(b"x-api-key", "schlüssel".encode())]).status_code == 401


def test_two_tenants_cannot_see_each_other_s_responses_by_any_route(
    tenants: dict[str, OpenAI], backend: ScriptedBackend
) -> None:
    alice, bob = tenants["alice"], tenants["bob"]
    hers = alice.responses.create(model=MODEL, input="only for alice")
    for ask in (bob.responses.retrieve, bob.responses.delete, bob.responses.cancel, bob.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            ask(hers.id)
    with pytest.raises(openai.NotFoundError):
        bob.responses.retrieve(hers.id, stream=True)
    with pytest.raises(openai.NotFoundError) as failed:
        bob.responses.create(model=MODEL, input="go on", previous_response_id=hers.id)
    assert failed.value.code == "previous_response_not_found"
    assert alice.responses.retrieve(hers.id).output_text == "Hello there."


def test_two_tenants_share_no_session(
    tenants: dict[str, OpenAI], backend: ScriptedBackend, guarded_server: ServerProcess
) -> None:
    runs = [
        tenants[name].chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "same words"}], extra_headers={"x-session-id": "same"}
        )
        for name in ("alice", "bob")
    ]
    sessions = [guarded_server.rows("SELECT tenant, session FROM run WHERE id = ?", answer.id)[0] for answer in runs]
    assert [tenant for tenant, _ in sessions] == ["alice", "bob"]
    assert sessions[0][1] != sessions[1][1]


def test_who_asks_too_often_is_told_when_to_come_back(tenants: dict[str, OpenAI], backend: ScriptedBackend) -> None:
    carol = tenants["carol"]
    for _ in range(BURST):
        carol.responses.create(model=MODEL, input="Hello?", store=False)
    with pytest.raises(openai.RateLimitError) as response:
        carol.responses.create(model=MODEL, input="Hello?")
    with pytest.raises(openai.RateLimitError) as chat:
        carol.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}], stream=True)
    for failed in (response, chat):
        assert failed.value.code == "rate_limit_exceeded"
        assert 1 <= int(failed.value.response.headers["retry-after"]) <= 10
    assert len(backend.calls) == BURST
    assert carol.models.list().data, "what costs nothing is not counted"
    assert tenants["bob"].responses.create(model=MODEL, input="Hello?").status == "completed"


def test_a_body_that_is_too_large_is_refused(tenants: dict[str, OpenAI], backend: ScriptedBackend) -> None:
    with pytest.raises(openai.APIStatusError) as response:
        tenants["dora"].responses.create(model=MODEL, input="x" * 100_000)
    with pytest.raises(openai.APIStatusError) as chat:
        tenants["dora"].chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x" * 100_000}])
    for failed in (response, chat):
        assert failed.value.status_code == 413
        assert failed.value.type == "invalid_request_error"
        assert "100000" in failed.value.message
    assert backend.calls == []


def test_a_body_without_a_length_is_counted_while_it_comes(plain: httpx2.Client, backend: ScriptedBackend) -> None:
    answer = plain.post(
        "/v1/responses",
        content=(b" " * 10_000 for _ in range(20)),
        headers={"x-api-key": key_of("dora"), "content-type": "application/json"},
    )
    assert answer.status_code == 413
    assert backend.calls == []
