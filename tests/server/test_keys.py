"""Keys: made, listed and revoked beside a server that runs, and what each of them allows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from typer.testing import CliRunner

from evals.scripted import Reply, ScriptedBackend, in_turn, usage
from programs.errors import ConfigurationError, KeyExpired, NotAuthenticated, QuotaSpent
from server.cli import app
from server.gatekeeper import Gatekeeper
from server.keys import PREFIX, digest, make, make_id, weakness
from server.settings import AuthSettings, Settings
from store import DAY, Key, StateSettings, Store
from tests.server.test_gateway_tools import literal, ours
from tests.server.test_tools import asked, compiles, is_compiler, playing
from tests.support import MODEL, ServerProcess, eventually, running

RESPONSE: dict[str, Any] = {"model": MODEL, "input": "Go."}
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Go."}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server that asks for keys, and has none."""
    folder: Path = tmp_path_factory.mktemp("keys")
    config: dict[str, Any] = {
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted"}},
        "auth": {"enabled": True, "cache_seconds": 0.5},
        "tools": {"workspace": "work", "offered": ["ls", "write"]},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {}) as process:
        assert "Nobody has a key yet" in process.log
        assert "rants keys create --tenant NAME" in process.log
        yield process


@pytest.fixture
def with_key(server: ServerProcess) -> Iterator[Callable[..., httpx2.Client]]:
    """A client with a new key: of `rants keys create` with these arguments."""
    clients: list[httpx2.Client] = []

    def made(*arguments: str) -> httpx2.Client:
        key = server.command("keys", "create", "--tenant", "ada", *arguments).strip()
        clients.append(httpx2.Client(base_url=server.address, headers={"x-api-key": key}, timeout=60))
        return clients[-1]

    yield made
    for client in clients:
        client.close()


def test_a_key_works_as_soon_as_it_is_made_and_is_kept_as_a_digest(
    server: ServerProcess, with_key: Callable[..., httpx2.Client]
) -> None:
    client = with_key("--name", "laptop", "--expires", "30d")
    assert client.get("/v1/models").status_code == 200
    key = client.headers["x-api-key"]
    assert key.startswith(PREFIX)
    assert weakness(key) is None
    assert key.encode() not in server.database_bytes
    assert key not in server.log
    (listed,) = [one for one in json.loads(server.command("keys", "list", "--json")) if one["name"] == "laptop"]
    assert (listed["tenant"], listed["state"], listed["models"]) == ("ada", "active", None)
    assert 29 * DAY < listed["expires_at"] - time.time() < 31 * DAY
    assert abs(listed["used_at"] - time.time()) < 600
    assert "digest" not in listed
    table = server.command("keys", "list")
    assert listed["id"] in table
    assert "laptop" in table


def test_a_revoked_key_is_refused_within_seconds(server: ServerProcess, with_key: Callable[..., httpx2.Client]) -> None:
    client = with_key("--name", "stolen")
    assert client.get("/v1/models").status_code == 200
    (key_id,) = [one["id"] for one in json.loads(server.command("keys", "list", "--json")) if one["name"] == "stolen"]
    server.command("keys", "revoke", key_id)
    eventually(lambda: client.get("/v1/models").status_code == 401)
    assert client.get("/v1/models").json()["error"]["message"] == "The API key has been revoked."
    assert f"{key_id} " in server.command("keys", "list")


def test_a_model_outside_the_scope_is_not_there(
    with_key: Callable[..., httpx2.Client], backend: ScriptedBackend
) -> None:
    client = with_key("--models", "another")
    assert client.get("/v1/models").json()["data"] == []
    unnamed = {"input": "Go."}
    answers = [
        client.get(f"/v1/models/{MODEL}"),
        client.post("/v1/chat/completions", json=CHAT),
        *(client.post("/v1/responses", json=body) for body in (RESPONSE, unnamed)),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert backend.calls == []
    assert [one["id"] for one in with_key("--models", MODEL).get("/v1/models").json()["data"]] == [MODEL]


def test_a_tool_outside_the_scope_is_not_there(
    server: ServerProcess, with_key: Callable[..., httpx2.Client], backend: ScriptedBackend
) -> None:
    client = with_key("--tools", "ls", "--tools", "batch", "--tools", "task")
    refused = client.post("/v1/responses", json=RESPONSE | {"tools": [ours("write")]})
    assert refused.status_code == 400
    assert "There is no gateway tool 'write' here. There are: " in refused.json()["error"]["message"]
    writing = {"filePath": "a.txt", "content": "x"}

    def told() -> str:
        return json.dumps([call.body["messages"] for call in asked(backend, compiler=False)])

    # What is offered to everybody is offered to it as far as it may.
    backend.script = playing([literal("write", **writing), literal("ls"), Reply(["Done."])], [compiles()])
    kinds = [item.get("name") for item in client.post("/v1/responses", json=RESPONSE).json()["output"]]
    assert "write" not in kinds
    # Nor does a part of a batch reach further, or a task.
    backend.requests = []
    batch = literal("batch", tool_calls=[{"tool": "write", "parameters": writing}, {"tool": "ls", "parameters": {}}])
    backend.script = playing([batch, Reply(["Done."])], [compiles()])
    everything = {"type": "mcp", "server_label": "rants"}
    client.post("/v1/responses", json=RESPONSE | {"tools": [everything]})
    assert "[1] write: failed" in told()
    assert "[2] ls: ok" in told()

    def script(body: dict[str, Any]) -> Reply:
        if is_compiler(body):
            return compiles(("write", writing))
        last = body["messages"][-1]["content"]
        if "TOOL_RESULT" in last:
            return Reply(["Done."])
        return literal("task", description="write", prompt="Deep.") if "Go." in last else literal("write", **writing)

    backend.script = script
    answer = client.post("/v1/responses", json=RESPONSE | {"tools": [everything]}).json()
    assert "task" in [item.get("name") for item in answer["output"]]
    assert not list(server.folder.rglob("a.txt"))
    none = with_key("--no-tools").post("/v1/responses", json=RESPONSE | {"tools": [ours("ls")]})
    assert none.status_code == 400


def test_the_calls_of_a_day_are_limited_over_both_apis(
    server: ServerProcess, with_key: Callable[..., httpx2.Client], backend: ScriptedBackend
) -> None:
    client = with_key("--calls-per-day", "2", "--name", "frugal")
    assert client.post("/v1/responses", json={"model": "other"}).status_code == 404, "which starts no run"
    first = client.post("/v1/responses", json=RESPONSE | {"background": True})
    assert client.post("/v1/chat/completions", json=CHAT | {"store": False}).status_code == 200
    for path, body in (("responses", RESPONSE), ("chat/completions", CHAT | {"stream": True})):
        refused = client.post(f"/v1/{path}", json=body)
        assert refused.status_code == 429
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert 0 < int(refused.headers["retry-after"]) <= DAY
    assert client.get(f"/v1/responses/{first.json()['id']}").status_code == 200, "reading is free"
    eventually(lambda: client.get(f"/v1/responses/{first.json()['id']}").json()["status"] == "completed")
    (listed,) = [one for one in json.loads(server.command("keys", "list", "--json")) if one["name"] == "frugal"]
    assert (listed["calls_today"], listed["calls_per_day"]) == (2, 2)
    assert server.rows("SELECT count(*) FROM usage WHERE key = ?", listed["id"]) == [(2,)]
    assert server.rows("SELECT key FROM run WHERE id = ?", first.json()["id"]) == [(listed["id"],)]


def test_a_run_that_begins_within_the_tokens_of_the_day_may_finish(
    with_key: Callable[..., httpx2.Client], backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["Long."], usage=usage(700, 300)))
    client = with_key("--tokens-per-day", "1500")
    for _ in range(2):
        assert client.post("/v1/responses", json=RESPONSE).json()["status"] == "completed"
    refused = client.post("/v1/responses", json=RESPONSE)
    assert refused.status_code == 429
    assert "1,500 tokens" in refused.json()["error"]["message"]


class Counting(Store):
    """A store that counts how often it is asked about keys, and for all of them."""

    asked = 0
    read = 0

    async def count_keys(self) -> tuple[int, int]:
        self.asked += 1
        return await super().count_keys()

    async def keys(self) -> list[Key]:
        self.read += 1
        return await super().keys()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Counting]:
    async with await Counting.open(StateSettings(sqlite_path=tmp_path / "keys.sqlite3")) as store:
        yield store


def keeper(store: Store, *keys: dict[str, Any], **auth: Any) -> Gatekeeper:
    settings = AuthSettings.model_validate({"enabled": True, "api_keys": keys, **auth})
    return Gatekeeper(settings, store)


async def a_key(store: Store, **fields: Any) -> str:
    secret = make()
    await store.add_key(Key(make_id(), "ada", digest(secret), created_at=0.0, **fields))
    return secret


async def test_a_flood_of_wrong_keys_hardly_asks_the_database_and_leaves_nothing(store: Counting) -> None:
    good = await a_key(store)
    gatekeeper = keeper(store, cache_seconds=60)
    started = time.monotonic()
    refused = await asyncio.gather(*(gatekeeper.grant(make()) for _ in range(5000)), return_exceptions=True)
    assert {type(one) for one in refused} == {NotAuthenticated}
    assert store.asked <= 2 + (time.monotonic() - started) / 0.2
    for _ in range(100):
        with pytest.raises(NotAuthenticated):
            await gatekeeper.grant("sk-which-was-never-made-here")
    before = store.asked
    assert (await gatekeeper.grant(good)).tenant == "ada"
    assert (store.asked, store.read) == (before, 1)
    assert len(gatekeeper._keyring._keys) == 1


async def test_use_is_written_down_once_an_hour(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    key = await a_key(store)
    gatekeeper = keeper(store, cache_seconds=0)
    seen = []
    for _ in range(3):
        await gatekeeper.grant(key)
        seen.append((await store.keys())[0].used_at)
    assert seen[0] is not None
    assert len(set(seen)) == 1
    monkeypatch.setattr("server.keys._HOUR", 0.0)
    await gatekeeper.grant(key)
    assert (await store.keys())[0].used_at != seen[0]


async def test_a_key_ends_when_it_expires(store: Counting) -> None:
    gone, good = await a_key(store, expires_at=time.time() - 1), await a_key(store, expires_at=time.time() + 600)
    yesterday = datetime.fromtimestamp(time.time() - DAY, UTC).date().isoformat()
    gatekeeper = keeper(store, {"key": "of-the-configuration-012345", "expires_at": yesterday})
    assert (await gatekeeper.grant(good)).expires_at is not None
    for key in (gone, "of-the-configuration-012345"):
        with pytest.raises(KeyExpired, match="expired at 20"):
            await gatekeeper.grant(key)


async def test_a_key_of_the_configuration_has_scopes_and_budgets_as_well(store: Counting) -> None:
    entry = {"key": "of-the-configuration-012345", "tenant_id": "ben", "name": "ci", "models": ["a"], "tools": []}
    first = keeper(store, entry | {"calls_per_day": 1})
    grant = await first.grant("of-the-configuration-012345")
    assert (grant.key, grant.tenant) == ("config-ci", "ben")
    assert (grant.models, grant.tools) == (frozenset({"a"}), frozenset())
    await first.count_call(grant)
    # After a restart, and in another process, it is as it was.
    for gatekeeper in (keeper(store, entry | {"calls_per_day": 1}), first):
        for _ in range(2):
            with pytest.raises(QuotaSpent, match="1 calls"):
                await gatekeeper.count_call(await gatekeeper.grant("of-the-configuration-012345"))


WEAK = [
    ("short-but-3x-Good", "fewer than 24"),
    ("change-me-please-or-else-1", "placeholder"),
    ("your-api-key-goes-here-123", "placeholder"),
    ("91827364554637281908172635", "nothing but digits"),
    ("aaaaaaaaaaaaaaaaaaaaaaaaaab", "different characters"),
    ("correct-horses-12correct-horses-12", "repeats"),
    ("schlüssel-schloss-0123456789", "ASCII"),
    ("with a space 0123456789abcdef", "ASCII"),
]


@pytest.mark.parametrize(("key", "why"), WEAK, ids=[why for _, why in WEAK])
@pytest.mark.usefixtures("no_variables")
def test_a_weak_key_is_refused_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANTS_AUTH__API_KEYS__0__KEY", key)
    with pytest.raises(ConfigurationError, match=why) as failed:
        Settings.load()
    assert "auth.api_keys.0.key" in str(failed.value)
    assert "rants keys create" in str(failed.value)
    assert key not in str(failed.value)


@pytest.mark.usefixtures("no_variables")
@pytest.mark.parametrize("field", ["key", "name"])
def test_two_entries_that_are_the_same_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [{"key": f"the-secret-{number}-0123456789abcdef", "name": f"n{number}"} for number in range(3)]
    entries[2][field] = entries[0][field]
    monkeypatch.setenv("RANTS_AUTH__API_KEYS", json.dumps(entries))
    with pytest.raises(ConfigurationError, match=rf"api_keys\.0 and api_keys\.2 have the same {field}") as failed:
        Settings.load()
    assert "the-secret" not in str(failed.value)


@pytest.mark.usefixtures("no_variables")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create"], "--tenant"),
        (["create", "--tenant", " "], "empty"),
        (["create", "--tenant", "a", "--expires", "soon"], "neither"),
        (["create", "--tenant", "a", "--expires", "2020-01-01"], "is over"),
        (["create", "--tenant", "a", "--tools", "ls", "--no-tools"], "exclude"),
        (["revoke", "key_0"], "There is no key 'key_0'"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["keys", *arguments], env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    assert said in done.output
