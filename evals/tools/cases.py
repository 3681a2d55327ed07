"""The cases: what is wanted, the tools that there are, and which calls are right."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from programs.errors import ConfigurationError
from programs.transcript import Tool

type Half = Literal["development", "held-out"]


class Wanted(BaseModel):
    """A call that is right.

    Attributes:
        name: of the tool.
        accepted: for each argument the values that are right; an empty text among them: it may be absent.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    accepted: dict[str, list[Any]] = {}


class Case(BaseModel):
    """One line of the file; keys that are not named here are ignored.

    Attributes:
        id: its name, another one for each case.
        category: what kind of case it is: cases are counted by it.
        intent: what is wanted, in plain words.
        tools: what may be called; in the file in OpenAI's form, `{"type": "function", "function": {...}}`.
        gold: the right calls, in any order.
        expect: `none` where it is right to call nothing.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    category: str
    intent: str = Field(min_length=1)
    tools: tuple[Tool, ...] = Field(min_length=1)
    gold: tuple[Wanted, ...] = ()
    expect: Literal["calls", "none"]

    @field_validator("tools", mode="before")
    @classmethod
    def _plain(cls, tools: Any) -> Any:
        if not isinstance(tools, list):
            return tools
        return [tool.get("function", tool) if isinstance(tool, dict) else tool for tool in tools]

    @model_validator(mode="after")
    def _can_be_right(self) -> Self:
        if (self.expect == "calls") != bool(self.gold):
            raise ValueError("gold must hold the right calls where expect is 'calls', and nothing where it is 'none'")
        names = {tool.name for tool in self.tools}
        if missing := [wanted.name for wanted in self.gold if wanted.name not in names]:
            raise ValueError(f"gold calls {missing[0]!r}, which is not among tools")
        return self

    def tool(self, name: str) -> Tool | None:
        """The tool of that name."""
        return next((tool for tool in self.tools if tool.name == name), None)


def read(path: Path) -> list[Case]:
    """The cases of a file.

    Raises:
        ConfigurationError: it cannot be read, or a line of it is no case; the message names the line and the field.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the cases: {error}") from error
    cases: dict[str, Case] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = Case.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise ConfigurationError(f"{path}, line {number}: {where}: {first['msg']}") from error
        if case.id in cases:
            raise ConfigurationError(f"{path}, line {number}: id: there is another case {case.id!r}")
        cases[case.id] = case
    if not cases:
        raise ConfigurationError(f"{path} holds no cases")
    return list(cases.values())


def choose(
    cases: Sequence[Case],
    *,
    seed: int = 0,
    count: int | None = None,
    categories: Iterable[str] = (),
    half: Half | None = None,
) -> list[Case]:
    """Some of the cases, by chance, each category in its proportion.

    Args:
        cases: all of them.
        seed: of the order; the same seed gives the same halves, whatever else is asked for.
        count: at most so many.
        categories: only these; by default all.
        half: one of two halves that have no case in common: what is tried on one is reported on the other.

    Raises:
        ConfigurationError: there is no such category.
    """
    ordered = _mixed(cases, seed)
    if half is not None:
        ordered = dealt(ordered)[half == "held-out"]
    wanted = set(categories)
    if unknown := wanted - {case.category for case in cases}:
        known = ", ".join(sorted({case.category for case in cases}))
        raise ConfigurationError(f"no case has the category {min(unknown)!r}; there are {known}")
    return [case for case in ordered if not wanted or case.category in wanted][:count]


def dealt(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Two halves of the cases, in their order, each with half of each category."""
    hands: tuple[list[Case], list[Case]] = ([], [])
    # Not every category begins with the same hand: of odd ones that would get all that is left over.
    turns = {category: turn for turn, category in enumerate(sorted({case.category for case in cases}))}
    for case in cases:
        hands[turns[case.category] % 2].append(case)
        turns[case.category] += 1
    return hands


def _mixed(cases: Sequence[Case], seed: int) -> list[Case]:
    """All cases, so that each beginning of the list has the categories in their proportion."""
    dice = random.Random(f"cases {seed}")
    placed: list[tuple[float, str, Case]] = []
    for category in sorted({case.category for case in cases}):
        alike = [case for case in cases if case.category == category]
        dice.shuffle(alike)
        placed += [((place + 0.5) / len(alike), category, case) for place, case in enumerate(alike)]
    return [case for _, _, case in sorted(placed, key=lambda entry: entry[:2])]
