"""Gateway tools over `/v1/responses`: RANTS executes them in its workspace, and the run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evals.scripted import Reply, ScriptedBackend
from programs.errors import ConfigurationError
from programs.settings import ToolSettings
from server.gateway import Gateway
from server.settings import Settings
from store import Store
from tests.server.test_tools import asked, compiles, is_compiler, playing
from tests.support import ServerProcess, eventually, response_events, running

MODEL = "rants-one"


def ours(*names: str) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "rants", "allowed_tools": list(names)}


def literal(name: str, **arguments: Any) -> Reply:
    return Reply([f"TOOL_INTENT: call {name} with {json.dumps(arguments)}"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def working(folder: Path, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_TOOLS__WORKSPACE": "work",
        "RANTS_RESILIENCE__MAX_RETRIES": "0",
        "RANTS_SERVER__HEALTH_CACHE_SECONDS": "0",
    }
    with running(folder, variables) as server:
        yield server


@pytest.fixture(scope="module")
def at(working: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=working.address, timeout=60) as client:
        yield client


def respond(at: httpx2.Client, *names: str, **more: Any) -> dict[str, Any]:
    answer = at.post("/v1/responses", json={"model": MODEL, "input": "Go.", "tools": [ours(*names)], **more})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_a_tool_is_executed_and_the_run_goes_on_with_its_result(
    at: httpx2.Client, folder: Path, backend: ScriptedBackend
) -> None:
    content = "\tä\r\n'''<<<'''"
    backend.script = playing(
        [Reply([f"I write.\nTOOL_INTENT: write a.txt with block A\n<<<A\n{content}\n>>>A"]), Reply(["Written."])],
        [compiles(("write", {"filePath": "a.txt", "content": {"$block": "A"}}))],
    )
    said = respond(at, "write", "read")
    assert (folder / "work" / "a.txt").read_bytes() == content.encode()
    first, call, last = said["output"]
    assert (first["content"][0]["text"], last["content"][0]["text"]) == ("I write.", "Written.")
    assert (call["type"], call["name"], call["status"]) == ("mcp_call", "write", "completed")
    assert json.loads(call["arguments"])["content"] == content
    result = asked(backend, compiler=False)[1].body["messages"][-1]["content"]
    assert result.startswith("TOOL_RESULT write:\n")
    assert at.get(f"/v1/responses/{said['id']}").json()["output"] == said["output"]


def test_the_stream_tells_what_is_executed_and_can_be_read_again(at: httpx2.Client, backend: ScriptedBackend) -> None:
    backend.script = playing([literal("ls"), literal("read", filePath="nowhere.txt"), Reply(["Well."])], [compiles()])
    body = {"model": MODEL, "input": "Go.", "stream": True, "tools": [ours("ls", "read")]}
    events = response_events(at.post("/v1/responses", json=body))
    kinds = [event["type"].removeprefix("response.") for event in events]
    call = ["output_item.added", "mcp_call.in_progress", "mcp_call_arguments.delta", "mcp_call_arguments.done"]
    assert kinds == [
        *("created", "in_progress"),
        *(*call, "mcp_call.completed", "output_item.done"),
        *(*call, "mcp_call.failed", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]
    response = events[-1]["response"]
    assert [item["id"] for item in response["output"]] == list(
        dict.fromkeys(event["item"]["id"] for event in events if "item" in event)
    )
    replayed = response_events(at.get(f"/v1/responses/{response['id']}", params={"stream": "true"}))
    assert replayed == events


def test_bash_runs_in_the_workspace_and_cannot_leave_it(
    at: httpx2.Client, folder: Path, backend: ScriptedBackend
) -> None:
    secret = folder / "secret.txt"
    secret.write_text("do not tell")
    command = f"echo hi > b.txt; cat {secret}; echo x > {folder}/c.txt; pwd"
    backend.script = playing([literal("bash", command=command, description="Tries."), Reply(["Done."])], [compiles()])
    said = respond(at, "bash")
    assert (folder / "work" / "b.txt").read_text() == "hi\n"
    assert not (folder / "c.txt").exists()
    assert "do not tell" not in json.dumps(said)


def test_a_file_outside_the_workspace_is_out_of_reach(
    at: httpx2.Client, folder: Path, backend: ScriptedBackend
) -> None:
    (folder / "secret.txt").write_text("do not tell")
    (folder / "work").mkdir(exist_ok=True)
    link = folder / "work" / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / "secret.txt")
    paths = ["../secret.txt", str(folder / "secret.txt"), "link", "/proc/self/environ"]
    backend.script = playing([*(literal("read", filePath=path) for path in paths), Reply(["No."])], [compiles()])
    said = respond(at, "read")
    calls = [item for item in said["output"] if item["type"] == "mcp_call"]
    assert [call["status"] for call in calls] == ["failed"] * len(paths)
    assert "do not tell" not in json.dumps(said)


def test_to_dos_stay_with_the_session(at: httpx2.Client, backend: ScriptedBackend) -> None:
    todos = [{"content": "Write it.", "status": "pending"}]
    backend.script = playing([literal("todo_write", todos=todos), Reply(["Noted."])], [compiles()])
    first = respond(at, "todo_write")
    backend.script = playing([literal("todo_read"), Reply(["There."])], [compiles()])
    second = respond(at, "todo_read", previous_response_id=first["id"])
    assert "Write it." in json.dumps(second["output"])
    third = respond(at, "todo_read")
    backend.script = playing([literal("todo_read"), Reply(["None."])], [compiles()])
    assert "Write it." not in json.dumps(third["output"])


def test_client_and_gateway_calls_of_one_step_part(at: httpx2.Client, backend: ScriptedBackend) -> None:
    theirs = {"type": "function", "name": "ask", "parameters": {"type": "object", "properties": {}}}
    both = "TOOL_INTENT: call ls with {}\nTOOL_INTENT: call ask with {}"
    backend.script = playing([Reply([both]), Reply(["Thanks."])], [compiles()])
    body = {"model": MODEL, "input": "Go.", "tools": [ours("ls"), theirs]}
    said = at.post("/v1/responses", json=body).json()
    ran, call = said["output"]
    assert (ran["type"], ran["name"], call["type"], call["name"]) == ("mcp_call", "ls", "function_call", "ask")
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
    more = {"model": MODEL, "input": [result], "tools": [ours("ls"), theirs], "previous_response_id": said["id"]}
    assert at.post("/v1/responses", json=more).json()["output"][0]["content"][0]["text"] == "Thanks."
    told = backend.calls[-1].body["messages"]
    assert told[-2]["content"] == both
    assert told[-1]["content"].startswith("TOOL_RESULT ls:\n")
    assert told[-1]["content"].endswith("TOOL_RESULT ask:\n42")


def test_a_task_is_a_session_of_its_own(at: httpx2.Client, backend: ScriptedBackend) -> None:
    def script(body: dict[str, Any]) -> Reply:
        said = [message["content"] for message in body["messages"] if message["role"] == "user"]
        assert not is_compiler(body)
        if "Count the files." in said[-1] and "TOOL_RESULT" not in said[-1]:
            return literal("task", description="count", prompt="How many files?") if "Go" in said[-1] else literal("ls")
        if said[-1] == "How many files?":
            return literal("ls")
        return Reply(["There are many." if "TOOL_RESULT ls" in said[-1] else "Counted."])

    backend.script = script
    answer = at.post(
        "/v1/responses", json={"model": MODEL, "input": "Go. Count the files.", "tools": [ours("task", "ls")]}
    )
    task, last = answer.json()["output"]
    assert (task["name"], task["output"]) == ("task", "There are many.")
    assert last["content"][0]["text"] == "Counted."


def test_every_execution_is_audited(at: httpx2.Client, working: ServerProcess, backend: ScriptedBackend) -> None:
    backend.script = playing([literal("ls"), literal("read", filePath="nowhere"), Reply(["So."])], [compiles()])
    said = respond(at, "ls", "read")
    rows = working.rows(
        "SELECT tenant, tool, outcome, length(digest), seconds >= 0 FROM audit WHERE run = ? ORDER BY at", said["id"]
    )
    assert rows == [("local", "ls", "ok", 64, 1), ("local", "read", "failed", 64, 1)]


def test_a_tool_that_is_not_there_is_named(at: httpx2.Client) -> None:
    answer = at.post("/v1/responses", json={"model": MODEL, "input": "Go.", "tools": [ours("ls", "fly")]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "tools[0].allowed_tools[1]"
    assert "'fly'" in answer.json()["error"]["message"]


def test_health_tells_the_tools(at: httpx2.Client) -> None:
    eventually(lambda: at.get("/health").json()["tools"]["bash"]["ok"])
    tools = at.get("/health").json()["tools"]
    assert {"bash", "read", "write", "edit", "grep"} <= set(tools["offered"])
    assert "websearch" not in tools["offered"]
    assert tools["bash"] == {"ok": True, "error": None}


def test_whoever_may_ask_from_elsewhere_without_a_key_changes_nothing(
    tmp_path: Path, scripted_backend: ScriptedBackend, backend: ScriptedBackend
) -> None:
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_SERVER__HOST": "0.0.0.0",
    }
    backend.script = playing([literal("write", filePath="a", content="b"), Reply(["No."])], [compiles()])
    with running(tmp_path, variables) as server, httpx2.Client(base_url=server.address, timeout=60) as at:
        for name, status in (("read", 200), ("write", 400), ("bash", 400)):
            said = at.post("/v1/responses", json={"model": MODEL, "input": "Go.", "tools": [ours(name)]})
            assert said.status_code == status
    assert not (tmp_path / "var" / "workspace" / "a").exists()


async def test_a_workspace_that_holds_the_database_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(tools=ToolSettings(workspace=Path()))
    async with await Store.open(settings.state) as store:
        with pytest.raises(ConfigurationError, match="tools must not read that"):
            Gateway(settings, store)


async def test_who_asks_for_tools_waits_until_it_is_known_whether_commands_can_be_kept_in_the_workspace(
    tmp_path: Path,
) -> None:
    settings = Settings(state={"sqlite_path": tmp_path / "rants.sqlite3"}, tools={"workspace": tmp_path / "work"})
    async with await Store.open(settings.state) as store, Gateway(settings, store) as gateway:
        assert gateway.health()["bash"]["ok"] is False
        await gateway.started()
        assert gateway.health()["bash"]["ok"] is True
