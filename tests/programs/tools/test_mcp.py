"""Tools of real MCP servers: over pipes and over HTTP, also of servers that crash, hang, or are not there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import ValidationError

from programs.settings import MCPServerSettings
from programs.tools import GatewayTool, Result
from programs.tools.mcp import MCPServers, _name
from tests.programs.tools.calling import Calling

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLE = str(Path(__file__).with_name("mcp_example.py"))
STDIO = MCPServerSettings(command=(sys.executable, EXAMPLE, "stdio"))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)


async def call(servers: MCPServers, tool: str, **arguments: Any) -> Result:
    return await Calling(Path("/nowhere"), more=servers.tools())(tool, **arguments)


def found(servers: MCPServers, tool: str) -> GatewayTool:
    return next(each for each in servers.tools() if each.name == tool)


def children() -> set[int]:
    """Processes of this one that are not yet buried."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "ppid=,pid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=2) for line in listed.stdout.splitlines()]
    ours = [(int(pid), rest) for parent, pid, *rest in rows if int(parent) == os.getpid()]
    return {pid for pid, rest in ours if EXAMPLE in rest[0] or "sleep 98765" in rest[0]}


@pytest_asyncio.fixture(loop_scope="module")
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., MCPServers]]:
    """Starts servers; in the end nothing of them may be left."""
    monkeypatch.setattr("programs.tools.mcp._FIRST_WAIT_SECONDS", 0.2)
    opened = []

    def begin(**settings: MCPServerSettings) -> MCPServers:
        servers = MCPServers(settings)
        servers.start()
        opened.append(servers)
        return servers

    before, tasks = children(), asyncio.all_tasks()
    yield begin
    for servers in opened:
        await servers.aclose()
    await until(lambda: children() == before)
    await until(lambda: not [task for task in asyncio.all_tasks() - tasks if task.get_name().startswith("mcp")])


Start = Callable[..., MCPServers]


async def connected(servers: MCPServers, label: str = "ex") -> None:
    await until(lambda: servers.health()[label].error is None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers() -> AsyncIterator[MCPServers]:
    servers = MCPServers({"ex": STDIO})
    servers.start()
    await connected(servers)
    yield servers
    await servers.aclose()


async def test_its_tools_are_gateway_tools(servers: MCPServers) -> None:
    tool = found(servers, "ex_add")
    assert tool.tool.description == "Adds two numbers."
    assert tool.tool.parameters["required"] == ["a", "b"]
    assert await call(servers, "ex_add", a=2, b=3) == Result("5", details={"structured": {"result": 5}})


async def test_a_tool_changes_things_unless_it_says_that_it_does_not(servers: MCPServers, tmp_path: Path) -> None:
    assert not found(servers, "ex_add").changes
    assert found(servers, "ex_record").changes
    await call(servers, "ex_record", path=str(tmp_path / "file"), line="a line")
    assert (tmp_path / "file").read_text() == "a line\n"


async def test_what_is_no_text_is_noted(servers: MCPServers) -> None:
    assert (await call(servers, "ex_picture")).output == "A pixel:\n[image: image/png, 8 bytes]"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("ex_fail", {"why": "it is late"}, "it is late"),
        ("ex_refuse", {}, "I refuse"),
        ("ex_add", {"a": "no number", "b": 1}, "no number"),
    ],
)
async def test_a_failure_is_one(servers: MCPServers, tool: str, arguments: dict[str, Any], said: str) -> None:
    result = await call(servers, tool, **arguments)
    assert not result.ok and said in result.output


async def test_a_server_sees_no_variables_but_its_own(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    servers = start(ex=STDIO.model_validate({**STDIO.model_dump(), "environment": {"ITS_TOKEN": "x"}}))
    await connected(servers)
    names = (await call(servers, "ex_variables")).output.split()
    assert "ITS_TOKEN" in names and "PATH" in names and "OPENAI_API_KEY" not in names


async def test_calls_run_at_the_same_time(servers: MCPServers, tmp_path: Path) -> None:
    slow = asyncio.create_task(call(servers, "ex_sleep", seconds=60, path=str(tmp_path / "note")))
    await until((tmp_path / "note").exists)
    answers = await asyncio.gather(*(call(servers, "ex_add", a=number, b=1) for number in range(20)))
    assert [answer.output for answer in answers] == [str(number + 1) for number in range(20)]
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_a_cancelled_call_is_cancelled_at_the_server(servers: MCPServers, tmp_path: Path) -> None:
    note = tmp_path / "note"
    running = asyncio.create_task(call(servers, "ex_sleep", seconds=60, path=str(note)))
    await until(note.exists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: note.read_text() == "cancelled")
    assert (await call(servers, "ex_add", a=1, b=1)).output == "2"


async def test_a_call_without_an_answer_ends(start: Start, tmp_path: Path) -> None:
    servers = start(ex=STDIO.model_copy(update={"call_timeout_seconds": 0.3}))
    await connected(servers)
    result = await call(servers, "ex_sleep", seconds=60, path=str(tmp_path / "note"))
    assert (result.ok, result.output) == (False, "The MCP server ex did not answer within 0.3 s.")
    await until(lambda: (tmp_path / "note").read_text() == "cancelled")
    assert (await call(servers, "ex_birth")).ok


async def test_a_server_that_crashes_is_started_again(start: Start) -> None:
    servers = start(ex=STDIO)
    await connected(servers)
    first = (await call(servers, "ex_birth")).output
    result = await call(servers, "ex_crash")
    assert not result.ok and "was lost during the call" in result.output
    await until(lambda: servers.health()["ex"].error is not None)
    assert "I am going down" in str(servers.health()["ex"].error)
    assert found(servers, "ex_add"), "its tools stay known"
    meanwhile = await call(servers, "ex_add", a=1, b=1)
    assert meanwhile.ok or "The MCP server ex is not connected" in meanwhile.output
    await connected(servers)
    assert int((await call(servers, "ex_birth")).output) > int(first)


@pytest.mark.slow
async def test_a_server_that_is_killed_while_idle_is_started_again(start: Start) -> None:
    before = children()
    servers = start(ex=STDIO)
    await connected(servers)
    [process] = children() - before
    os.kill(process, signal.SIGKILL)
    await until(lambda: servers.health()["ex"].error is not None)
    await connected(servers)
    assert (await call(servers, "ex_add", a=1, b=1)).output == "2"


async def test_what_it_prints_beside_the_protocol_floods_nothing(
    servers: MCPServers, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (await call(servers, "ex_noise", lines=3000)).output == "said"
    assert "xxx" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("/nowhere/server",), "No such file"),
        ((sys.executable, "-c", "import sys; print('I lack a key', file=sys.stderr); sys.exit(1)"), "I lack a key"),
        ((sys.executable, "-c", "print('not JSON')"), ""),
        (("sleep", "98765"), "no answer in time"),
    ],
)
async def test_a_server_that_does_not_start_holds_up_nobody(
    start: Start, command: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    servers = start(bad=MCPServerSettings(command=command, start_timeout_seconds=2), ex=STDIO)
    assert servers.tools() == [] and servers.health()["bad"].error == "it has not answered yet"
    await connected(servers)
    await until(lambda: servers.health()["bad"].error != "it has not answered yet")
    assert said in str(servers.health()["bad"].error)
    assert "MCP server bad cannot be reached" in caplog.text
    assert {tool.name.partition("_")[0] for tool in servers.tools()} == {"ex"}


async def test_close_does_not_wait_for_a_server_that_has_not_answered(start: Start) -> None:
    before = children()
    servers = start(bad=MCPServerSettings(command=("sleep", "98765"), start_timeout_seconds=1000))
    await until(lambda: children() - before)
    await servers.aclose()
    await servers.aclose()
    await until(lambda: children() == before)


async def test_a_server_over_http(start: Start, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers = start(web=MCPServerSettings(url=f"http://127.0.0.1:{port}/mcp", headers={"X-Key": "x"}))
    await until(lambda: servers.health()["web"].error != "it has not answered yet")  # nobody is there yet
    process = subprocess.Popen([sys.executable, EXAMPLE, "http", str(port)])  # noqa: ASYNC220
    try:
        await connected(servers, "web")
        assert (await call(servers, "web_add", a=2, b=3)).output == "5"
        note = tmp_path / "note"
        running = asyncio.create_task(call(servers, "web_sleep", seconds=60, path=str(note)))
        await until(note.exists)
        process.kill()
        assert not (await running).ok
        await until(lambda: servers.health()["web"].error is not None)
    finally:
        process.kill()
        process.wait()


async def test_names_are_what_every_api_takes() -> None:
    assert _name("git hub", "issues.list") == "git_hub_issues_list"
    long = _name("label", "x" * 100)
    assert len(long) == 64 and long != _name("label", "x" * 101)


@pytest.mark.parametrize("settings", [{}, {"command": ["x"], "url": "http://x"}, {"url": "file:///x"}])
async def test_a_server_is_a_command_or_a_url(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MCPServerSettings.model_validate(settings)
