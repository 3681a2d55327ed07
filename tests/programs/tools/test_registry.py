"""What the registry offers, and how it executes calls: what is wrong is told, what is long is cut, all is counted."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from programs.errors import BackendUnavailable, BudgetSpent, ConfigurationError
from programs.settings import ToolSettings
from programs.tools import Caller, GatewayTool, Registry, Result, workspace_tools
from programs.transcript import Tool
from tests.programs.tools.calling import Calling

CHANGE = {"write", "edit", "multiedit", "patch"}
LOOK = {"read", "ls", "glob", "grep", "codesearch", "todo_read", "todo_write", "task", "batch"}


@pytest.fixture
def call(tmp_path: Path) -> Calling:
    return Calling(tmp_path)


def _tool(name: str, execute: Any, changes: bool = False) -> GatewayTool:
    return GatewayTool(Tool(name=name, parameters={"type": "object"}), execute, changes)


def _saying(text: str, name: str = "say") -> GatewayTool:
    async def say(_: Mapping[str, Any], __: Caller) -> Result:
        return Result(text)

    return _tool(name, say)


def test_what_is_offered(call: Calling) -> None:
    registry = call.registry
    assert {tool.name for tool in registry.offered(changes=True)} == CHANGE | LOOK
    assert {tool.name for tool in registry.offered(changes=False)} == LOOK
    assert {tool.name for tool in registry.offered(changes=False, tasks=False)} == LOOK - {"task"}
    asked = registry.offered(["read", "write", "invalid", "unknown"], changes=False)
    assert [tool.name for tool in asked] == ["read"]


def test_every_tool_has_a_schema_and_words(call: Calling) -> None:
    for tool in call.registry.offered(changes=True):
        jsonschema.Draft202012Validator.check_schema(tool.parameters)
        assert 20 < len(tool.description) < 400
        assert tool.parameters["additionalProperties"] is False


def test_settings_choose_the_tools() -> None:
    settings = ToolSettings(gateway=frozenset({"read", "websearch", "batch"}))
    registry = Registry(workspace_tools(settings), settings)
    assert {tool.name for tool in registry.offered(changes=True)} == {"read", "batch"}
    assert "write" not in registry
    assert "invalid" in registry  # it does nothing, and a call that cannot be made has to become something


def test_settings_that_name_no_tool_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"tools\.gateway: there is no tool 'raed'"):
        Registry([], ToolSettings(gateway=frozenset({"raed"})))
    with pytest.raises(ConfigurationError, match="two gateway tools are named 'say'"):
        Registry([_saying("a"), _saying("b")], ToolSettings())


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("nothing", "{}", "There is no tool 'nothing'; there are: read, write,"),
        ("read", "{", "are not JSON"),
        ("read", "[" * 100_000, "are not JSON"),
        ("read", '"file"', "they must be an object"),
        ("read", "{}", "'filePath' is a required property"),
        ("read", "", "'filePath' is a required property"),
        ("read", '{"filePath": 1}', "$.filePath: 1 is not of type 'string'"),
        ("read", '{"filePath": "a", "path": "b"}', "('path' "),
        ("todo_write", '{"todos": [{"content": "x", "status": "later"}]}', "$.todos[0].status: 'later' is not one of"),
        ("invalid", '{"tool": "read", "error": "no such file"}', "The call of read was not made: no such file"),
    ],
)
async def test_a_call_that_is_wrong_is_told_why(call: Calling, name: str, arguments: str, why: str) -> None:
    said = await call.say(name, arguments)
    assert not said.ok
    assert why in said.output
    assert call.executed[0].outcome == "failed"


async def test_a_schema_that_nothing_can_be_held_to_is_told(tmp_path: Path) -> None:
    async def never(_: Mapping[str, Any], __: Caller) -> Result:
        raise AssertionError

    schema = {"$ref": "#/$defs/itself", "$defs": {"itself": {"$ref": "#/$defs/itself"}}}
    call = Calling(tmp_path, more=[GatewayTool(Tool(name="odd", parameters=schema), never)])
    said = await call("odd")
    assert (said.ok, "cannot be held to its schema" in said.output) == (False, True)
    call = Calling(tmp_path, more=[GatewayTool(Tool(name="any", parameters={}), never)])
    assert "must be an object" in (await call.say("any", "[]")).output


async def test_a_session_can_call_nothing_but_what_it_was_offered(tmp_path: Path) -> None:
    call = Calling(tmp_path, offered=frozenset({"read", "batch"}))
    said = await call("write", filePath="file", content="x")
    assert (said.ok, said.output) == (False, "There is no tool 'write'; there are: read, batch.")
    part = {"tool": "write", "parameters": {"filePath": "file", "content": "x"}}
    assert not (await call("batch", tool_calls=[part])).ok
    assert not (tmp_path / "file").exists()


async def test_each_call_is_told_when_it_has_ended(call: Calling) -> None:
    await call("todo_read")
    await call("read", filePath="nothing")
    first, second = call.executed
    assert (first.call, first.tool, first.outcome) == ("c", "todo_read", "ok")
    assert first.digest == hashlib.sha256(b"{}").hexdigest()
    assert (second.tool, second.outcome) == ("read", "failed")
    assert second.seconds > 0


async def test_a_bug_is_not_hidden_and_is_told_as_one(tmp_path: Path) -> None:
    async def broken(_: Mapping[str, Any], __: Caller) -> Result:
        raise ZeroDivisionError

    call = Calling(tmp_path, more=[_tool("broken", broken)])
    with pytest.raises(ZeroDivisionError):
        await call("broken")
    assert call.executed[0].outcome == "error"


async def test_a_long_output_is_cut_and_can_be_read_on(tmp_path: Path) -> None:
    text = "".join(f"line {number} ä\n" for number in range(1, 2000))
    call = Calling(tmp_path, ToolSettings(output_chars=2000), more=[_saying(text)])
    said = await call("say")
    assert len(said.output) <= 2000
    assert said.output.startswith("line 1 ä\n")
    assert said.output.endswith("line 1999 ä\n")
    note = next(line for line in said.output.split("\n") if line.startswith("[... "))
    path = note.partition("all of it is in ")[2].partition(":")[0]
    assert (tmp_path / path).read_text() == text
    offset = int(note.partition("`offset` ")[2].partition(" ")[0])
    shown = said.output.partition("\n[... ")[0].split("\n")
    assert shown[-1] == f"line {offset - 1} ä"
    more = await call("read", filePath=path, offset=offset)
    assert more.output.lstrip().startswith(f"{offset}| line {offset} ä\n")
    assert (await call("grep", pattern="line 1000 ", path=path)).output == f"{path}:1000: line 1000 ä"


async def test_what_is_kept_is_no_part_of_the_work_and_bounded(tmp_path: Path) -> None:
    call = Calling(tmp_path, ToolSettings(output_chars=1000), more=[_saying("x" * 5000, "../odd/näme")])
    for _ in range(55):
        assert (await call("../odd/näme")).ok
    assert len(list((tmp_path / ".rants" / "outputs").iterdir())) == 50
    assert (tmp_path / ".rants" / ".gitignore").read_text() == "*\n"
    assert (await call("glob", pattern="*")).output == "No file matches."


async def test_an_output_that_cannot_be_kept_is_cut_nevertheless(tmp_path: Path) -> None:
    call = Calling(tmp_path / "inside", ToolSettings(output_chars=1000), more=[_saying("x" * 5000)])
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / ".rants").symlink_to("../outside")
    said = await call("say")
    assert said.ok
    assert len(said.output) <= 1000
    assert "could not be kept" in said.output
    assert not list((tmp_path / "outside").iterdir())


async def test_an_output_can_always_be_sent_on(tmp_path: Path) -> None:
    call = Calling(tmp_path, more=[_saying("half \ud800 a pair")])
    assert (await call("say")).output == "half \\ud800 a pair"


async def test_a_batch_makes_its_calls_at_once_and_tells_of_each(tmp_path: Path) -> None:
    met = asyncio.Barrier(3)

    async def meet(arguments: Mapping[str, Any], caller: Caller) -> Result:
        await met.wait()
        return Result(f"{arguments['who']} as {caller.call}")

    call = Calling(tmp_path, more=[_tool("meet", meet)])
    parts = [{"tool": "meet", "parameters": {"who": who}} for who in ("a", "b", "c")]
    parts.append({"tool": "read", "parameters": {"filePath": 1}})
    said = await call("batch", tool_calls=parts)
    assert not said.ok
    assert (
        "[1] meet: ok\na as c.1\n\n[2] meet: ok\nb as c.2\n\n[3] meet: ok\nc as c.3\n\n[4] read: failed\n"
        in said.output
    )
    assert [part["ok"] for part in said.details["results"]] == [True, True, True, False]
    assert sorted((one.call, one.tool) for one in call.executed) == [
        ("c", "batch"),
        ("c.1", "meet"),
        ("c.2", "meet"),
        ("c.3", "meet"),
        ("c.4", "read"),
    ]


async def test_a_batch_holds_no_batch_and_no_more_than_ten(call: Calling) -> None:
    read = {"tool": "read", "parameters": {"filePath": "file"}}
    said = await call("batch", tool_calls=[read, {"tool": "batch", "parameters": {"tool_calls": [read]}}])
    assert (said.ok, "no call was made" in said.output) == (False, True)
    assert [one.tool for one in call.executed] == ["batch"]
    assert not (await call("batch", tool_calls=[read] * 11)).ok


async def test_the_parts_of_a_batch_share_its_length(tmp_path: Path) -> None:
    call = Calling(tmp_path, ToolSettings(output_chars=10_000), more=[_saying("x" * 9000)])
    said = await call("batch", tool_calls=[{"tool": "say", "parameters": {}}] * 4)
    assert len(said.output) <= 10_000
    assert said.output.count("characters are left out here") == 4


async def test_a_batch_that_ends_by_the_budget_ends_as_one(tmp_path: Path) -> None:
    async def spend(_: Mapping[str, Any], __: Caller) -> Result:
        raise BudgetSpent("The budget is spent.", what="budget_tokens")

    call = Calling(tmp_path, more=[_tool("spend", spend)])
    parts = [{"tool": "spend", "parameters": {}}, {"tool": "todo_read", "parameters": {}}]
    with pytest.raises(BudgetSpent):
        await call("batch", tool_calls=parts)


async def test_the_list_of_a_session_is_read_as_it_was_written(call: Calling) -> None:
    assert (await call("todo_read")).output == "(the list is empty)"
    todos = [
        {"content": "look", "status": "completed", "priority": "high", "id": "1"},
        {"content": "mend", "status": "in_progress"},
        {"content": "test", "status": "pending"},
        {"content": "sing", "status": "cancelled"},
    ]
    shown = "[x] look (high)\n[>] mend\n[ ] test\n[-] sing\n(2 of 4 to do)"
    assert (await call("todo_write", todos=todos)).output == shown
    said = await call("todo_read")
    assert said.output == shown
    assert said.details["todos"] == call.todos.todos == todos


async def test_a_task_is_answered_by_another_session(tmp_path: Path) -> None:
    names = []

    async def answer(name: str, prompt: str) -> str:
        names.append(name)
        return f"answer to {prompt}"

    call = Calling(tmp_path, task=answer)
    asked = {"description": "a task", "prompt": "why?"}
    assert (await call("task", **asked)).output == "answer to why?"
    twice = [{"tool": "task", "parameters": asked}, {"tool": "task", "parameters": asked}]
    assert (await call("batch", tool_calls=twice)).ok
    assert len(set(names)) == 3  # each is a session of its own


async def test_a_task_that_fails_or_cannot_be_is_told(tmp_path: Path) -> None:
    async def unavailable(_: str, __: str) -> str:
        raise BackendUnavailable("the model is away", backend="generator")

    said = await Calling(tmp_path, task=unavailable)("task", description="a task", prompt="why?")
    assert (said.ok, said.output) == (False, "the task was not done: the model is away")
    said = await Calling(tmp_path)("task", description="a task", prompt="why?")
    assert (said.ok, "do the task yourself" in said.output) == (False, True)


async def test_a_task_may_end_the_run(tmp_path: Path) -> None:
    async def spent(_: str, __: str) -> str:
        raise BudgetSpent("The budget is spent.", what="budget_seconds")

    with pytest.raises(BudgetSpent):
        await Calling(tmp_path, task=spent)("task", description="a task", prompt="why?")


def _skill(folder: Path, name: str, front: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "SKILL.md").write_text(f"---\n{front}\n---\n\n# How\nDo it.\n")


async def test_skills_are_listed_and_shown_with_their_files(tmp_path: Path) -> None:
    skills = tmp_path / "skills"
    _skill(skills, "pdf", "name: pdf\ndescription: >\n  Fill in\n  forms.")
    _skill(skills, "deploy", "description: 'Put it: live'\nlicense: x")
    (skills / "pdf" / "scripts").mkdir()
    (skills / "pdf" / "scripts" / "fill.py").write_text("print()")
    (skills / "nothing").mkdir()
    call = Calling(tmp_path / "work", ToolSettings(skills=(skills,)))
    tool = call.registry["skill"].tool
    assert tool.description.endswith("\n- deploy: Put it: live\n- pdf: Fill in forms.")
    assert tool.parameters["properties"]["name"]["enum"] == ["deploy", "pdf"]
    said = await call("skill", name="pdf")
    assert "# How\nDo it.\n" in said.output
    assert "scripts/fill.py" in said.output
    assert (await call("skill", name="pdf", file="scripts/fill.py")).output == "print()"
    for file in ("../deploy/SKILL.md", "/etc/passwd"):
        assert "outside" in (await call("skill", name="pdf", file=file)).output
    assert not (await call("skill", name="other")).ok


@pytest.mark.parametrize("front", ["name: x", "- a", "description: [1]", "description: 'x"])
def test_a_skill_that_does_not_say_what_it_is_for_is_refused(tmp_path: Path, front: str) -> None:
    _skill(tmp_path, "odd", front)
    with pytest.raises(ConfigurationError, match="odd"):
        workspace_tools(ToolSettings(skills=(tmp_path,)))


def test_skills_that_are_not_there_or_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tools\.skills: there is no folder"):
        workspace_tools(ToolSettings(skills=(tmp_path / "nothing",)))
    _skill(tmp_path, "one", "name: same\ndescription: x")
    _skill(tmp_path, "two", "name: same\ndescription: x")
    with pytest.raises(ConfigurationError, match="both named 'same'"):
        workspace_tools(ToolSettings(skills=(tmp_path,)))


def test_without_skills_there_is_no_such_tool(tmp_path: Path) -> None:
    assert "skill" not in Calling(tmp_path, ToolSettings(skills=(tmp_path,))).registry


async def test_workspaces_of_two_callers_are_two(tmp_path: Path) -> None:
    one, two = Calling(tmp_path / "one"), Calling(tmp_path / "two")
    await one("write", filePath="file", content="mine")
    assert not (await two("read", filePath="file")).ok
    assert not (await two("read", filePath=str(tmp_path / "one" / "file"))).ok
    assert not (await two("read", filePath="../one/file")).ok
    assert json.loads(json.dumps((await one("read", filePath="file")).details)) == {"first": 1, "last": 1}
