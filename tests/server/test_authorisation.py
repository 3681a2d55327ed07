"""The authorisation matrix: every route, every wrong key, and two tenants who have everything there is to have."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.routing import iter_route_contexts

from evals.scripted import Reply, ScriptedBackend
from server.app import create_app
from server.auth import OPEN, is_open
from tests.conftest import HELLO, key_of
from tests.server.test_gateway_tools import literal, ours
from tests.server.test_tools import LOOK, asked, compiles, playing
from tests.support import MODEL, ServerProcess, eventually, response_events, running, sse

EXPIRED = key_of("expired")
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}
RESPONSE: dict[str, Any] = {"model": MODEL, "input": "Hello?"}

# Every route: the bodies, queries and headers to try it with. An id of another tenant goes where ID stands, and in the
# path where `_ID` says. A new route goes here, else the first test fails.
ROUTES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("POST", "/v1/chat/completions"): [{"json": CHAT}],
    ("POST", "/v1/responses"): [
        {"json": RESPONSE | {"previous_response_id": "ID"}},
        {"json": RESPONSE | {"previous_response_id": "ID", "stream": True}},
        {"json": RESPONSE | {"previous_response_id": "ID", "background": True}},
        {"json": RESPONSE | {"input": [{"type": "item_reference", "id": "ID"}]}},
    ],
    ("GET", "/v1/responses/{response_id}"): [
        {},
        {"params": {"stream": "true"}},
        {"params": {"stream": "true", "starting_after": "0"}},
    ],
    ("DELETE", "/v1/responses/{response_id}"): [{}],
    ("POST", "/v1/responses/{response_id}/cancel"): [{}],
    ("GET", "/v1/responses/{response_id}/input_items"): [{}, {"params": {"order": "asc", "limit": "100"}}],
    ("GET", "/v1/models"): [{}],
    ("GET", "/v1/models/{model}"): [{}],
    ("GET", "/health"): [{}],
    ("GET", "/health/live"): [{}],
    ("GET", "/health/ready"): [{}],
    ("GET", "/metrics"): [{}],
    ("GET", "/openapi.json"): [{}],
    ("GET", "/docs"): [{}],
    ("GET", "/docs/oauth2-redirect"): [{}],
    ("GET", "/redoc"): [{}],
    ("GET", "/ui"): [{}],
    ("GET", "/ui/login"): [{}],
    ("POST", "/ui/login"): [{}],
    ("POST", "/ui/logout"): [{}],
    ("GET", "/ui/static/{name}"): [{}],
    ("GET", "/ui/sessions"): [{}],
    ("GET", "/ui/overview"): [{}],
    ("GET", "/ui/playground"): [{}],
    ("GET", "/ui/sessions/{session_id}"): [{}, {"params": {"page": "1"}}, {"headers": {"accept": "text/html"}}],
    ("GET", "/ui/runs/{run_id}"): [{}],
    ("GET", "/ui/runs/{run_id}/head"): [{}],
    ("GET", "/ui/runs/{run_id}/glances"): [{}, {"params": {"after": "0"}}],
    ("GET", "/ui/runs/{run_id}/answer"): [{}],
    ("GET", "/ui/runs/{run_id}/json"): [{}],
    ("GET", "/ui/runs/{run_id}/context"): [{}, {"params": {"search": "true", "find": "Hello"}}],
    ("GET", "/ui/runs/{run_id}/nodes/{number}"): [{}],
    ("GET", "/ui/runs/{run_id}/nodes/{number}/text"): [{"params": {"field": "text"}}],
    ("GET", "/ui/runs/{run_id}/nodes/{number}/example"): [{}],
    ("GET", "/ui/runs/{run_id}/nodes/{number}/shown"): [{}],
    ("GET", "/ui/runs/{run_id}/nodes/{number}/places"): [{}],
}

OWN_KEY = "/metrics"
"""It asks for a key of its own: what all tenants do is nobody's of them."""

_ID = re.compile(r"\{(response|session|run)_id\}")
CLOSED = [route for route in ROUTES if not is_open(route[1])]
WITH_AN_ID = [route for route in ROUTES if _ID.search(route[1]) or "ID" in json.dumps(ROUTES[route])]


@dataclass(frozen=True)
class Has:
    """What a tenant has, each thing by its id."""

    live: str
    background: str
    finished: str
    deleted: str
    chat: str
    message: str
    call: str
    session: str

    @property
    def ids(self) -> list[str]:
        """All of them; nobody else may learn whether they are there."""
        return list(astuple(self))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    folder: Path = tmp_path_factory.mktemp("matrix")
    keys = [{"key": key_of(name), "tenant_id": name} for name in ("ada", "ben")]
    keys.append({"key": EXPIRED, "tenant_id": "ada", "expires_at": "2020-01-01"})
    config: dict[str, Any] = {
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted"}},
        "auth": {"enabled": True, "api_keys": keys},
        "tools": {"workspace": "work"},
        "observability": {"metrics_key": key_of("prometheus")},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        yield process


@pytest.fixture(scope="module")
def bare(server: ServerProcess) -> Iterator[httpx2.Client]:
    """The server without any key."""
    with httpx2.Client(base_url=server.address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def revoked(server: ServerProcess, bare: httpx2.Client) -> str:
    """A key that has worked, and is revoked."""
    made = server.command("keys", "create", "--tenant", "ada").strip()
    headers = {"x-api-key": made}
    assert bare.get("/v1/models", headers=headers).status_code == 200
    ((key_id,),) = server.rows("SELECT id FROM key")
    server.command("keys", "revoke", key_id)
    eventually(lambda: bare.get("/v1/models", headers=headers).status_code == 401)
    return made


@pytest.fixture(scope="module")
def at(server: ServerProcess) -> Iterator[Callable[[str], httpx2.Client]]:
    """The server, with a tenant's key."""
    with ExitStack() as clients:
        made = {
            name: clients.enter_context(
                httpx2.Client(base_url=server.address, headers={"x-api-key": key_of(name)}, timeout=60)
            )
            for name in ("ada", "ben")
        }
        yield made.__getitem__


@pytest.fixture(scope="module")
def has(
    at: Callable[[str], httpx2.Client], server: ServerProcess, scripted_backend: ScriptedBackend
) -> Iterator[dict[str, Has]]:
    """Ada and Ben, with a run in each state."""
    release = threading.Event()
    with ExitStack() as streams:
        yield {name: _equip(name, at(name), server, scripted_backend, release, streams) for name in ("ada", "ben")}
        release.set()


def _equip(
    name: str,
    http: httpx2.Client,
    server: ServerProcess,
    backend: ScriptedBackend,
    release: threading.Event,
    streams: ExitStack,
) -> Has:
    backend.script = playing([Reply(["I look.\nTOOL_INTENT: look at a.py"])], [compiles(("look", {"path": "a.py"}))])
    tools = [{"type": "function", **LOOK}]
    finished = http.post("/v1/responses", json=RESPONSE | {"tools": tools}).json()
    message, call = finished["output"]
    backend.script = HELLO
    deleted = http.post("/v1/responses", json=RESPONSE).json()["id"]
    assert http.delete(f"/v1/responses/{deleted}").json()["deleted"]
    chat = http.post("/v1/chat/completions", json=CHAT).json()["id"]
    held = []

    def hold(_: dict[str, Any]) -> Reply:
        held.append(release)
        return Reply(["Well", " now."], hold=release)

    backend.script = hold
    stream = streams.enter_context(http.stream("POST", "/v1/responses", json=RESPONSE | {"stream": True}))
    events = sse(stream.iter_lines())
    streams.callback(list, events)  # it is read to its end, then
    _, created = next(events)
    background = http.post("/v1/responses", json=RESPONSE | {"background": True}).json()["id"]
    live = created["response"]["id"]
    eventually(lambda: len(held) == 2)
    backend.script = HELLO
    ((session,),) = server.rows("SELECT session FROM run WHERE tenant = ? AND id = ?", name, finished["id"])
    return Has(live, background, finished["id"], deleted, chat, message["id"], call["call_id"], session)


def test_the_matrix_knows_every_route() -> None:
    found = {
        (method, context.path)
        for context in iter_route_contexts(create_app().routes)
        for method in (context.methods or {"*"}) - {"HEAD"}
    }
    assert found == set(ROUTES)


@pytest.mark.parametrize("route", CLOSED, ids=" ".join)
@pytest.mark.parametrize("how", ["none", "empty", "wrong", "made up", "expired", "revoked"])
def test_no_route_answers_without_a_key_that_works(
    bare: httpx2.Client, revoked: str, route: tuple[str, str], how: str, backend: ScriptedBackend
) -> None:
    keys = {"empty": "", "wrong": key_of("eve"), "made up": f"rants-{'x' * 43}", "expired": EXPIRED, "revoked": revoked}
    method, path = route
    ways: list[dict[str, str]] = [{}]
    if how != "none":
        ways = [{"x-api-key": keys[how]}, {"authorization": f"Bearer {keys[how] or 'x'}"}]
    for headers in ways:
        answer = bare.request(method, path, headers=headers, content=b'{"half of')
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["x-request-id"]
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        code = "expired_api_key" if how == "expired" else "invalid_api_key"
        assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
        assert not keys.get(how) or keys[how] not in answer.text
    assert backend.calls == []


def test_what_does_not_exist_needs_a_key_as_well(bare: httpx2.Client, at: Callable[[str], httpx2.Client]) -> None:
    for path in ("/v1/files", "/health/", "/v1/responses/", "/admin"):
        assert bare.get(path).status_code == 401
        assert at("ada").get(path).status_code in (307, 404, 405)


def test_the_metrics_are_not_opened_by_the_key_of_a_tenant(
    bare: httpx2.Client, at: Callable[[str], httpx2.Client]
) -> None:
    assert bare.get(OWN_KEY).status_code == at("ada").get(OWN_KEY).status_code == 401
    assert bare.get(OWN_KEY, headers={"authorization": f"Bearer {key_of('ada')}"}).status_code == 401
    assert bare.get(OWN_KEY, headers={"authorization": f"Bearer {key_of('prometheus')}"}).status_code == 200


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "GET" and path in OPEN - {OWN_KEY}])
def test_what_is_open_tells_nothing_of_the_server(bare: httpx2.Client, path: str, server: ServerProcess) -> None:
    answer = bare.get(path)
    assert answer.status_code == 200
    for secret in (str(server.folder), "scripted", "sqlite"):
        assert secret not in answer.text


@pytest.mark.parametrize("route", WITH_AN_ID, ids=" ".join)
def test_what_is_another_s_is_as_what_is_not_there(
    at: Callable[[str], httpx2.Client], has: dict[str, Has], route: tuple[str, str], backend: ScriptedBackend
) -> None:
    method, path = route[0], route[1].replace("{number}", "0")
    for owner, stranger in (("ada", "ben"), ("ben", "ada")):
        for probe in ROUTES[route]:
            for theirs in has[owner].ids:
                # Ids of other kinds are compared with what is nowhere of their own kind.
                nowhere = theirs[:-8] + "0" * 8
                seen = [
                    _told(at(stranger).request(method, _ID.sub(name, path), **_put(probe, name)), name)
                    for name in (theirs, nowhere)
                ]
                assert seen[0] == seen[1]
                assert seen[0][0] in (400, 404), seen[0]
    assert backend.calls == []
    for owner in ("ada", "ben"):
        mine = has[owner]
        states = [at(owner).get(f"/v1/responses/{name}") for name in (mine.live, mine.background, mine.finished)]
        assert [answer.json().get("status") for answer in states] == ["in_progress", "in_progress", "completed"]
        assert at(owner).get(f"/v1/responses/{mine.finished}/input_items").json()["data"]


def _put(probe: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(probe).replace('"ID"', json.dumps(name)))
    return found


def _told(answer: httpx2.Response, name: str) -> tuple[int, dict[str, str], str]:
    """All that a client can see of an answer, without the id that it has sent."""
    headers = {key: value for key, value in answer.headers.items() if key not in ("date", "x-request-id")}
    return answer.status_code, headers, answer.text.replace(name, "ID")


def test_who_owns_it_reaches_it_by_the_same_requests(
    at: Callable[[str], httpx2.Client], has: dict[str, Has], backend: ScriptedBackend
) -> None:
    """So that the matrix compares what can be had with what cannot, and not two mistakes."""
    mine = has["ada"]
    assert "I look." in at("ada").get(f"/ui/sessions/{mine.session}").text
    assert "I look." in at("ada").get(f"/ui/runs/{mine.finished}/nodes/0").text
    body = RESPONSE | {"previous_response_id": mine.finished}
    assert at("ada").post("/v1/responses", json=body).json()["status"] == "completed"
    assert "I look." in json.dumps(backend.calls[-1].body)
    body = RESPONSE | {"input": [{"type": "item_reference", "id": mine.message}, {"role": "user", "content": "And?"}]}
    assert at("ada").post("/v1/responses", json=body).json()["status"] == "completed"
    assert "I look." in json.dumps(backend.calls[-1].body)
    assert response_events(at("ada").get(f"/v1/responses/{mine.finished}", params={"stream": "true"}))


def test_an_input_item_of_another_is_no_place_to_read_on_from(
    at: Callable[[str], httpx2.Client], has: dict[str, Has], backend: ScriptedBackend
) -> None:
    theirs = at("ada").get(f"/v1/responses/{has['ada'].finished}/input_items").json()["data"][0]["id"]
    said = at("ben").post("/v1/responses", json=RESPONSE | {"input": "Something else."}).json()["id"]
    seen = [
        _told(at("ben").get(f"/v1/responses/{said}/input_items", params={"after": name}), name)
        for name in (theirs, f"msg_{'0' * 32}")
    ]
    assert seen[0] == seen[1]
    assert seen[0][0] == 404


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_call_id_of_another_brings_back_nothing(
    at: Callable[[str], httpx2.Client], has: dict[str, Has], backend: ScriptedBackend, api: str
) -> None:
    call = has["ada"].call
    for name, told in (("ada", True), ("ben", False)):
        if api == "chat":
            made = {"id": call, "type": "function", "function": {"name": "look", "arguments": "{}"}}
            history: list[dict[str, Any]] = [
                *CHAT["messages"],
                {"role": "assistant", "content": "", "tool_calls": [made]},
                {"role": "tool", "tool_call_id": call, "content": "Empty."},
            ]
            answer = at(name).post("/v1/chat/completions", json=CHAT | {"messages": history})
        else:
            items = [
                {"role": "user", "content": "Hello?"},
                {"type": "function_call", "call_id": call, "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": call, "output": "Empty."},
            ]
            answer = at(name).post("/v1/responses", json=RESPONSE | {"input": items})
        assert answer.status_code == 200
        assert ("I look." in json.dumps(backend.calls[-1].body)) is told


def test_two_tenants_with_one_session_key_share_no_session_and_no_list(
    at: Callable[[str], httpx2.Client], backend: ScriptedBackend, server: ServerProcess
) -> None:
    def use(name: str, tool: str, **arguments: Any) -> str:
        backend.requests = []
        backend.script = playing([literal(tool, **arguments), Reply(["Done."])], [compiles()])
        body = RESPONSE | {"tools": [ours("todo_write", "todo_read")]}
        answer = at(name).post("/v1/responses", json=body, headers={"x-session-id": "the-same"})
        assert answer.json()["status"] == "completed", answer.text
        return str(asked(backend, compiler=False)[-1].body["messages"][-1]["content"])

    todo = {"content": "Buy the secret flowers", "status": "pending"}
    use("ada", "todo_write", todos=[todo])
    assert "secret flowers" in use("ada", "todo_read")
    assert "secret flowers" not in use("ben", "todo_read")
    sessions = server.rows("SELECT tenant, id FROM session WHERE key = 'the-same'")
    assert sorted(tenant for tenant, _ in sessions) == ["ada", "ben"]
    assert len({session for _, session in sessions}) == 2


def test_no_path_leads_into_another_s_workspace(
    at: Callable[[str], httpx2.Client], backend: ScriptedBackend, server: ServerProcess
) -> None:
    def use(name: str, tool: str, **arguments: Any) -> dict[str, Any]:
        backend.script = playing([literal(tool, **arguments), Reply(["Done."])], [compiles()])
        answer = at(name).post("/v1/responses", json=RESPONSE | {"tools": [ours("write", "read", "grep", "ls")]})
        said: dict[str, Any] = answer.json()
        return said

    use("ada", "write", filePath="diary.txt", content="only for ada")
    (diary,) = server.folder.rglob("diary.txt")
    assert "only for ada" in json.dumps(use("ada", "read", filePath="diary.txt"))
    for path in ("diary.txt", str(diary), f"../{diary.parent.name}/diary.txt", f"./../{diary.parent.name}/./diary.txt"):
        assert "only for ada" not in json.dumps(use("ben", "read", filePath=path))
    assert "only for ada" not in json.dumps(use("ben", "grep", pattern="only for"))
    assert "only for ada" not in json.dumps(use("ben", "grep", pattern="only for", path=f"../{diary.parent.name}"))
    assert "diary.txt" not in json.dumps(use("ben", "ls"))
    audit = server.rows("SELECT audit.tenant, run.tenant FROM audit LEFT JOIN run ON run.id = audit.run")
    assert {"ada", "ben"} == {tenant for tenant, _ in audit}
    assert all(tenant == of_run for tenant, of_run in audit)
