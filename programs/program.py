"""A saved program: the instructions and demonstrations of some of RANTS' predictors, as a JSON file.

    {"rants_program": 1,
     "made_by": {"rants": "0.1.0", "optimizer": "gepa", "benchmark": "s-niah", ...},
     "predictors": {"explore.write": {"signature": "messages, context, ... -> reasoning, code",
                                      "instructions": "You answer ...",
                                      "demos": [{"messages": [...], "code": "...", ...}]}}}

Only the predictors that were optimised are in it; the others stay as they are. Nothing of it is executed: it is text
that goes into prompts. What would not fit a prompt of the predictor is refused when it is loaded, and not when the
first question comes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dspy
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from programs.adapter import NativeAdapter
from programs.errors import ConfigurationError

VERSION = 1
"""Of the format."""


class SavedPredictor(BaseModel):
    """One predictor of a saved program.

    Attributes:
        signature: the names of its fields, in order: `messages -> text, tool_intents`.
        instructions: what stands first in its prompt.
        demos: its demonstrations, each with values for fields of the signature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    signature: str
    instructions: str = Field(min_length=1)
    demos: tuple[dict[str, Any], ...]


class SavedProgram(BaseModel):
    """What is in the file.

    Attributes:
        rants_program: the version of the format.
        made_by: where it comes from, for people: versions, the optimiser, the benchmark, what came of it.
        predictors: by their names in `RANTS`, such as `explore.write`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rants_program: int
    made_by: dict[str, JsonValue] = {}
    predictors: dict[str, SavedPredictor] = Field(min_length=1)


def saved(predictor: dspy.Predict) -> SavedPredictor:
    """What a program keeps of a predictor."""
    # Optimisers and exports mark examples with more than what a model is told.
    demos, fields = predictor.dump_state()["demos"], predictor.signature.fields
    told = [{name: value for name, value in demo.items() if name in fields} for demo in demos]
    # As it will be read again: a pair becomes a list.
    return SavedPredictor(
        signature=predictor.signature.signature,
        instructions=predictor.signature.instructions,
        demos=json.loads(json.dumps(told, default=str)),
    )


def put(predictor: dspy.Predict, kept: SavedPredictor) -> None:
    """Give a predictor the instructions and demonstrations that were kept of one like it."""
    predictor.signature = predictor.signature.with_instructions(kept.instructions)
    predictor.demos = [dspy.Example(**demo) for demo in kept.demos]


def save_program(
    rants: dspy.Module, path: Path, *, predictors: Iterable[str], made_by: Mapping[str, JsonValue]
) -> None:
    """Write the program of `rants` into a file.

    Args:
        rants: a `RANTS`.
        path: a `.json` file; its folder is made if need be.
        predictors: the names of those that were optimised.
        made_by: what is to be told of where it comes from.

    Raises:
        ConfigurationError: there is no such predictor, or the file cannot be written.
    """
    known = dict(rants.named_predictors())
    program = SavedProgram(
        rants_program=VERSION,
        made_by=dict(made_by),
        predictors={name: saved(_known(known, name, path)) for name in predictors},
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{program.model_dump_json(indent=2)}\n", "utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write the program {path}: {error.strerror}") from error


def read_program(path: Path) -> SavedProgram:
    """What a file says, if it is a program.

    Raises:
        ConfigurationError: it cannot be read, is no program, or one of another version.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read the program {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the program {path} is no JSON: {error}") from error
    if not isinstance(said, dict) or "rants_program" not in said:
        raise ConfigurationError(f"{path} is no program of RANTS: make one with `rants optimize`")
    if said["rants_program"] != VERSION:
        raise ConfigurationError(
            f"the program {path} has the format {said['rants_program']!r}; this RANTS reads format {VERSION}. Make it"
            " anew with `rants optimize`, or use the RANTS that made it."
        )
    try:
        return SavedProgram.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"the program {path} cannot be used: {where}: {first['msg']}") from error


def load_program(rants: dspy.Module, path: Path) -> SavedProgram:
    """Give the predictors of `rants` what a file has of them: all of it, or nothing where any of it does not fit.

    Args:
        rants: a `RANTS`.
        path: what `save_program` has written.

    Returns:
        What is in the file.

    Raises:
        ConfigurationError: it is no program, or does not fit this RANTS; the message names the file and the predictor,
            and says what to do.
    """
    program = read_program(path)
    known = dict(rants.named_predictors())
    for name, kept in program.predictors.items():
        _check(_known(known, name, path), name, kept, path)
    for name, kept in program.predictors.items():
        put(known[name], kept)
    return program


def _known(known: Mapping[str, dspy.Predict], name: str, path: Path) -> dspy.Predict:
    if name not in known:
        raise ConfigurationError(f"the program {path}: there is no predictor {name!r}; there are {', '.join(known)}")
    return known[name]


def _check(predictor: dspy.Predict, name: str, kept: SavedPredictor, path: Path) -> None:
    """See that what was kept is for this predictor, and can be said.

    Raises:
        ConfigurationError: it is not, or cannot.
    """
    signature = predictor.signature
    where = f"the program {path}: {name}"
    if kept.signature != signature.signature:
        raise ConfigurationError(
            f"{where} is for the fields `{kept.signature}`; here they are `{signature.signature}`. Optimise it anew"
            " with `rants optimize`, or take it out of the file."
        )
    for number, demo in enumerate(kept.demos):
        wrong = _misfit(signature, name, demo)
        if wrong is not None:
            raise ConfigurationError(f"{where}: demos[{number}] {wrong}. Correct that demonstration, or take it out.")


def _misfit(signature: Any, name: str, demo: Mapping[str, Any]) -> str | None:
    """Why a demonstration cannot be shown by a predictor of this signature; None where it can."""
    if unknown := sorted(demo.keys() - signature.fields.keys()):
        return f"has {unknown[0]!r}, which is no field of {name}"
    for field, info in signature.fields.items():
        if info.is_required() and demo.get(field) is None:
            return f"lacks the field {field!r}"
        try:
            TypeAdapter(info.annotation).validate_python(demo.get(field, info.default))
        except ValidationError as error:
            return f"has a wrong {field!r}: {error.errors(include_url=False)[0]['msg']}"
    try:
        _, turns = NativeAdapter().said(signature, [demo], {})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"cannot be shown to a model ({type(error).__name__}: {str(error).partition('\n')[0]})"
    return None if turns[-1].role == "assistant" else "shows no reply"
