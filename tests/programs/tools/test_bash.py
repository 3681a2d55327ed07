"""The `bash` tool: what a model is told of a command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from programs.environment import EnvironmentUnavailable
from programs.environment.commands import Commands
from programs.settings import BashSettings
from programs.tools import GatewayTool, Result
from programs.tools.bash import bash_tool
from tests.programs.tools.calling import Calling

linux = pytest.mark.skipif(sys.platform != "linux", reason="commands need Linux")


@pytest.fixture(scope="session")
def settings() -> BashSettings:
    return BashSettings(output_bytes=4000, flood_bytes=100_000)


@pytest.fixture(scope="session")
def commands(settings: BashSettings) -> Commands:
    return Commands(settings)


@pytest.fixture
async def bash(settings: BashSettings, commands: Commands) -> GatewayTool:
    return await bash_tool(settings, commands)


async def call(bash: GatewayTool, workspace: Path, **arguments: Any) -> Result:
    return await Calling(workspace, more=[bash])("bash", **arguments)


@linux
async def test_it_says_what_a_command_prints(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="echo out; echo err >&2; echo ünï", description="Speak")
    assert result == Result("out\nerr\nünï\n", details={"exit_code": 0, "stopped": None, "bytes_left_out": 0})


@linux
async def test_it_says_when_there_is_nothing_to_say(bash: GatewayTool, tmp_path: Path) -> None:
    assert (await call(bash, tmp_path, command="true")).output == "(no output)"


@linux
async def test_a_failure_is_one(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="printf partly; exit 3")
    assert (result.ok, result.output, result.details["exit_code"]) == (False, "partly\nExit code 3.", 3)


@linux
async def test_a_signal_is_a_failure(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="kill -9 $$")
    assert (result.ok, result.details["exit_code"]) == (False, -9)


@linux
async def test_a_timeout_is_in_milliseconds(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="echo begun; sleep 60", timeout=300)
    assert not result.ok and result.details["stopped"] == "time"
    assert result.output == "begun\nThe command was stopped: it took longer than 0.3 s. Give `timeout` for more."


@linux
async def test_long_output_keeps_both_its_ends(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="echo first; seq 10000; echo last")
    assert result.ok and result.output.startswith("first\n1\n2\n") and result.output.endswith("\n10000\nlast\n")
    assert f"... {result.details['bytes_left_out']:,} bytes left out ..." in result.output
    assert len(result.output) < 4100


@linux
async def test_it_starts_in_a_folder_of_the_workspace(bash: GatewayTool, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert (await call(bash, tmp_path, command="pwd", workdir="inner")).output == f"{tmp_path}/inner\n"
    assert (await call(bash, tmp_path, command="pwd", workdir=str(tmp_path))).output == f"{tmp_path}\n"


@linux
@pytest.mark.parametrize("workdir", ["..", "/", "/etc", "missing", "door", "file"])
async def test_it_starts_nowhere_else(bash: GatewayTool, tmp_path: Path, workdir: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "door").symlink_to("/usr")
    (workspace / "file").touch()
    result = await call(bash, workspace, command="pwd", workdir=workdir)
    assert (result.ok, result.output) == (False, f"workdir: {workdir} is not a folder of the workspace")


@linux
async def test_a_workspace_is_made_when_it_is_first_needed(bash: GatewayTool, tmp_path: Path) -> None:
    assert (await call(bash, tmp_path / "new" / "one", command="echo x > file")).ok
    assert (tmp_path / "new" / "one" / "file").read_text() == "x\n"


@linux
async def test_a_workspace_may_be_a_link(bash: GatewayTool, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert (await call(bash, tmp_path / "link", command="echo x > file")).ok
    assert (tmp_path / "real" / "file").read_text() == "x\n"


@linux
async def test_what_cannot_be_an_argument_is_refused(bash: GatewayTool, tmp_path: Path) -> None:
    result = await call(bash, tmp_path, command="echo '\0'")
    assert not result.ok and "The command was not run" in result.output


@linux
async def test_what_this_system_cannot_give_is_told(
    bash: GatewayTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not (await call(bash, tmp_path, command="true", workdir="a\0b")).ok
    (tmp_path / "file").touch()
    assert "workdir: " in (await call(bash, tmp_path / "file" / "workspace", command="true")).output
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert "there is no temporary folder" in (await call(bash, tmp_path, command="true")).output
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert "starts no more processes" in (await call(bash, tmp_path, command="true")).output


@linux
async def test_nothing_of_one_call_is_left_for_the_next(bash: GatewayTool, tmp_path: Path) -> None:
    first = await call(bash, tmp_path, command="X=1; cd /usr; mkdir -m 0 $TMPDIR/closed; echo x > $TMPDIR/here")
    assert first.ok
    second = await call(bash, tmp_path, command="echo $X; pwd; ls $TMPDIR/here")
    assert second.output.startswith(f"\n{tmp_path}\n") and "No such file" in second.output


@linux
async def test_it_is_absent_where_a_wall_is_missing(settings: BashSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("programs.environment.commands._PATH", "/nowhere")
    with pytest.raises(EnvironmentUnavailable, match="no bash in /nowhere"):
        await bash_tool(settings)


@linux
async def test_it_is_absent_where_the_self_test_gets_through(settings: BashSettings) -> None:
    everything = settings.model_copy(update={"readable": (Path("/"),)})
    with pytest.raises(
        EnvironmentUnavailable, match=r"self-test of commands failed.* read a file in .*: it got through"
    ):
        await bash_tool(everything)


async def test_it_is_absent_beyond_linux(settings: BashSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(EnvironmentUnavailable, match="commands need Linux"):
        await bash_tool(settings)


@linux
async def test_models_know_its_limits_from_its_schema(bash: GatewayTool, settings: BashSettings) -> None:
    Draft202012Validator.check_schema(bash.tool.parameters)
    assert bash.changes
    assert bash.tool.parameters["properties"]["timeout"]["maximum"] == settings.max_timeout_seconds * 1000
