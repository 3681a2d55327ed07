"""`skill`: instructions that an operator keeps in folders, read by a model when it needs them.

A skill is a folder with a `SKILL.md`, which begins with YAML between two lines `---`: its `name` and its `description`.
Other files may lie beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from programs.errors import ConfigurationError, ToolFailed
from programs.tools import arguments as takes
from programs.tools.protocol import Caller, GatewayTool, Result
from programs.tools.walking import walk
from programs.tools.workspace import Workspace
from programs.transcript import Tool

_FILE = "SKILL.md"
_LARGEST = 1 << 20
_MOST_FILES = 100


@dataclass(frozen=True, slots=True)
class Skill:
    """One skill; `folder` is where its files are."""

    name: str
    description: str
    folder: Path


def skill_tools(folders: Sequence[Path]) -> list[GatewayTool]:
    """The tool that shows the skills in `folders`; none where there are no skills.

    Raises:
        ConfigurationError: a folder is not there, or a `SKILL.md` does not say its name and description.
    """
    skills: dict[str, Skill] = {}
    for folder in folders:
        for skill in _skills(folder):
            if skill.name in skills:
                raise ConfigurationError(
                    f"tools.skills: {skill.folder} and {skills[skill.name].folder} are both named {skill.name!r}"
                )
            skills[skill.name] = skill
    if not skills:
        return []

    async def show(arguments: Mapping[str, Any], _: Caller) -> Result:
        return await asyncio.to_thread(_show, skills[arguments["name"]], arguments.get("file"))

    return [GatewayTool(_tool(skills), show)]


def _tool(skills: Mapping[str, Skill]) -> Tool:
    listed = "".join(f"\n- {skill.name}: {skill.description}" for skill in skills.values())
    return Tool(
        name="skill",
        description=f"Shows instructions for a kind of work; read those that fit before you begin. There are:{listed}",
        parameters=takes.takes(
            ["name"],
            name={"type": "string", "enum": list(skills), "description": "The skill."},
            file=takes.path("A file of the skill that its instructions name. Default: the instructions."),
        ),
    )


def _skills(folder: Path) -> list[Skill]:
    if not folder.is_dir():
        raise ConfigurationError(f"tools.skills: there is no folder {folder}")
    return [_skill(file) for file in sorted(folder.glob(f"*/{_FILE}"))]


def _skill(file: Path) -> Skill:
    try:
        head, found, _ = file.read_text("utf-8-sig").removeprefix("---\n").partition("\n---")
        front = yaml.safe_load(head) if found else None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}: what stands between the lines `---` is not YAML: {error}") from None
    if not isinstance(front, dict) or not isinstance(front.get("description"), str):
        raise ConfigurationError(f"{file} must begin with a line `---`, `name: ...`, `description: ...` and `---`")
    name = front.get("name", file.parent.name)
    return Skill(str(name), " ".join(front["description"].split()), file.parent)


def _show(skill: Skill, file: str | None) -> Result:
    folder = Workspace(skill.folder)
    data = folder.read(file or _FILE, _LARGEST)
    if b"\0" in data[:8192]:
        raise ToolFailed(f"{file} is a binary file")
    text = data.decode(errors="backslashreplace")
    others = [entry.path for entry in walk(folder).files if entry.path != _FILE]
    if file is None and others:
        more = ", ".join(others[:_MOST_FILES])
        text += f"\n\n(Files of this skill, which `skill` shows with `file`: {more})"
    return Result(text, details={"skill": skill.name, "files": others[:_MOST_FILES]})
