"""Whether a value fits a JSON Schema that came from outside, within bounds that no schema can break.

A client's schema is a program that we run: it may refer to itself for ever, branch a million times, or hold a pattern
that takes years. So a validation has a number of steps and a pattern has a time; nothing is ever fetched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import attrs
import jsonschema
import jsonschema_rs
import referencing
import referencing.exceptions
import regex
from jsonschema import validators
from jsonschema.protocols import Validator

_STEPS = 20_000  # keywords looked at in one validation: about half a second
_MESSAGES = 1 << 30  # characters: each keyword may repeat the value in a message
_PATTERN_SECONDS = 0.25
_LONGEST_PATTERN = 4096  # characters
_LONGEST = 500  # characters of a message: validators repeat the value that does not fit

_DRAFTS: dict[str, Any] = {
    kind.META_SCHEMA["$schema"].rstrip("#"): kind
    for kind in (
        jsonschema.Draft4Validator,
        jsonschema.Draft6Validator,
        jsonschema.Draft7Validator,
        jsonschema.Draft201909Validator,
        jsonschema.Draft202012Validator,
    )
}

_left: ContextVar[list[int]] = ContextVar("steps_left")

type _Found = Iterator[jsonschema.ValidationError]
type _Keyword = Callable[[Any, Any, Any, Any], _Found | None]


class UnusableSchema(Exception):
    """The schema is none, or to hold a value against it takes too long. `str(error)` says why."""


def problem(value: Any, schema: Any, root: Any = None) -> str | None:
    """Why `value` does not fit `schema`: where, and what was expected. None where it fits.

    Args:
        value: a JSON value.
        schema: what it should fit.
        root: the schema that `schema` is a part of, and its references are looked up in; by default itself.

    Raises:
        UnusableSchema: nothing can be held against it.
    """
    try:
        with bounded(_MESSAGES // (1 + len(json.dumps(value)))):
            found = jsonschema.exceptions.best_match(_validator(schema, root).iter_errors(value))
    except referencing.exceptions.Unresolvable as error:
        raise UnusableSchema(f"it refers to {error.ref!r}, which is not in it") from error
    except (regex.error, TimeoutError) as error:
        raise UnusableSchema(f"one of its patterns cannot be used: {error}") from error
    except RecursionError as error:
        raise UnusableSchema("it refers to itself without end, or the value is nested too deeply") from error
    except ValueError as error:
        raise UnusableSchema(f"an address in it is none: {error}") from error
    except OverflowError:
        return "$: a number is too large"
    if found is None:
        return None
    return f"{_cut(found.json_path)}: {_cut(found.message)}"


def check(schema: Any) -> None:
    """See that `schema` is a JSON Schema, of the draft that it names or else of 2020-12.

    Raises:
        UnusableSchema: it is not.
    """
    try:
        if isinstance(schema, Mapping) and isinstance(schema.get("$schema"), str):
            # A draft that is not known would be fetched.
            schema = {**schema, "$schema": _draft(schema).META_SCHEMA["$schema"]}
        jsonschema_rs.meta.validate(schema)
        for pattern in _patterns(schema):
            if len(pattern) > _LONGEST_PATTERN:
                raise UnusableSchema(f"one of its patterns is longer than {_LONGEST_PATTERN} characters")
            regex.compile(pattern)
    except jsonschema_rs.ValidationError as error:
        raise UnusableSchema(f"{_path(error.instance_path)}: {_cut(error.message)}") from error
    except regex.error as error:
        raise UnusableSchema(f"one of its patterns cannot be used: {error}") from error
    except (RecursionError, ValueError) as error:
        raise UnusableSchema("it is nested too deeply") from error


@contextmanager
def bounded(steps: int = _STEPS) -> Iterator[None]:
    """Inside, so many steps are taken at most, of those that are left where this is inside another."""
    outer = _left.get(None)
    mine = [min(steps, _STEPS) if outer is None else min(steps, outer[0])]
    given, token = mine[0], _left.set(mine)
    try:
        yield
    finally:
        _left.reset(token)
        if outer is not None:
            outer[0] -= given - mine[0]


def step(cost: int = 1) -> None:
    """Take steps, inside `bounded`.

    Raises:
        UnusableSchema: none are left.
    """
    left = _left.get()
    left[0] -= cost
    if left[0] < 0:
        raise UnusableSchema("to hold a value against it takes too many steps")


def deeper_than(value: Any, levels: int) -> bool:
    """Whether a JSON value is nested deeper than so many levels."""
    if levels < 0:
        return True
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return any(deeper_than(item, levels - 1) for item in inner)


def _cut(text: str) -> str:
    """Beginning and end: a message begins with the value, and ends with what is wrong with it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def _path(parts: list[str | int]) -> str:
    return _cut("$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts))


def _draft(schema: Any) -> Any:
    named = schema.get("$schema") if isinstance(schema, Mapping) else None
    default = jsonschema.Draft202012Validator
    return _DRAFTS.get(named.rstrip("#"), default) if isinstance(named, str) else default


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(pattern := schema.get("pattern"), str):
            yield pattern
        if isinstance(named := schema.get("patternProperties"), Mapping):
            yield from named
        for value in schema.values():
            yield from _patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _patterns(value)


def _validator(schema: Any, root: Any) -> Validator:
    whole = schema if root is None else root
    kind = _bounded(_draft(whole))
    # With a registry of its own, it fetches nothing that the schema may refer to.
    validator: Validator = kind(whole, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER)
    return validator.evolve(schema=schema)


@lru_cache
def _bounded(kind: Any) -> Any:
    """The draft's validator, every keyword of which counts, and none of which takes longer the more it is given."""
    ours: dict[str, _Keyword] = {
        "pattern": _pattern,
        "uniqueItems": _unique,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    keywords = {name: _counted(ours.get(name, keyword)) for name, keyword in kind.VALIDATORS.items()}
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        if name in keywords:
            keywords[name] = _reference(keywords[name])
    made = validators.extend(kind, keywords)  # type: ignore[no-untyped-call]
    # Its own would give way to another validator where a part of the schema names another draft.
    made.evolve = attrs.evolve
    return made


def _counted(keyword: _Keyword) -> _Keyword:
    def counted(validator: Any, asked: Any, instance: Any, schema: Any) -> _Found | None:
        step(1 + (len(asked) >> 6 if isinstance(asked, (list, dict)) else 0))
        return keyword(validator, asked, instance, schema)

    return counted


def _reference(keyword: _Keyword) -> _Keyword:
    def checked(validator: Any, asked: Any, instance: Any, schema: Any) -> _Found | None:
        if not isinstance(asked, str):
            raise UnusableSchema(f"a reference in it is no text: {_cut(repr(asked))}")
        return keyword(validator, asked, instance, schema)

    return checked


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> _Found:
    if validator.is_type(instance, "string") and not _matches(pattern, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _matches(pattern: str, text: str) -> bool:
    start = time.perf_counter()
    found = regex.search(pattern, text, timeout=_PATTERN_SECONDS, concurrent=True)
    step(int((time.perf_counter() - start) * _STEPS))
    return found is not None


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> _Found:
    if wanted and validator.is_type(instance, "array"):
        said = {json.dumps(_canonical(item), sort_keys=True) for item in instance}
        if len(said) < len(instance):
            yield jsonschema.ValidationError(f"{instance!r} has non-unique elements")


def _canonical(value: Any) -> Any:
    """Equal numbers as the same one."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> _Found:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for name, value in instance.items():
                if _matches(pattern, name):
                    yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, asked: Any, instance: Any, schema: Any) -> _Found:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    more = [name for name in instance if name not in known and not any(_matches(one, name) for one in patterns)]
    if asked is False and more:
        names = ", ".join(map(repr, more))
        yield jsonschema.ValidationError(f"Additional properties are not allowed ({names} unexpected)")
    elif isinstance(asked, Mapping):
        for name in more:
            yield from validator.descend(instance[name], asked, path=name)
