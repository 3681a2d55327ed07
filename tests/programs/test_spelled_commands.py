"""Commands that an intent spells out."""

from __future__ import annotations

from typing import Any

import pytest

from programs.spelled_commands import spelled_command
from programs.transcript import Tool


def tool(name: str, properties: dict[str, Any], *required: str) -> Tool:
    return Tool(name=name, parameters={"type": "object", "properties": properties, "required": list(required)})


TEXT = {"type": "string"}
BASH = tool("bash", {"command": TEXT, "timeout": {"type": "integer"}}, "command")
READ = tool("read", {"path": TEXT}, "path")


@pytest.mark.parametrize(
    ("intent", "command"),
    [
        ("run the command `ls docs`", "ls docs"),
        ("Run the command: `ls docs`.", "ls docs"),
        ("  execute this shell command `a && b`\n", "a && b"),
        ("run command `python3 - <<E\nprint(1)\nE\n`", "python3 - <<E\nprint(1)\nE\n"),
        ("run the command `sed -i 's/`", "sed -i 's/"),
    ],
)
def test_a_command_that_is_spelled_out_is_called_to_the_letter(intent: str, command: str) -> None:
    assert spelled_command(intent, [READ, BASH]) == [("bash", {"command": command})]


@pytest.mark.parametrize(
    "intent",
    [
        "run the command `ls` in the folder docs",
        "run the command `ls` and then the command `pwd`",
        "read `ls docs`",
        "run the tests",
        "run the command ls docs",
        "run the command ``",
    ],
)
def test_an_intent_that_says_more_or_less_is_left_to_the_compiler(intent: str) -> None:
    assert spelled_command(intent, [READ, BASH]) == []


@pytest.mark.parametrize(
    "tools",
    [
        [],
        [READ],
        [BASH, BASH.model_copy(update={"name": "shell"})],
        [tool("shell", {"command": {"type": "array", "items": TEXT}}, "command")],
        [tool("bash", {"command": TEXT, "description": TEXT}, "command", "description")],
        [tool("bash", {"command": TEXT})],
        [Tool(name="bash", parameters={"properties": []})],
        [Tool(name="bash", parameters={"properties": {"command": True}, "required": ["command"]})],
    ],
    ids=["none", "another", "two", "a list", "more is needed", "not needed", "no properties", "no type"],
)
def test_where_not_one_tool_runs_commands_the_compiler_is_asked(tools: list[Tool]) -> None:
    assert spelled_command("run the command `ls docs`", tools) == []


def test_a_schema_that_refers_to_another_is_followed() -> None:
    referring = {
        "$ref": "#/$defs/run",
        "$defs": {"run": {"properties": {"command": {"$ref": "#/$defs/text"}}, "required": ["command"]}, "text": TEXT},
    }
    assert spelled_command("run the command `ls`", [Tool(name="sh", parameters=referring)]) == [
        ("sh", {"command": "ls"})
    ]
