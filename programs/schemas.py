"""Whether a value fits a JSON Schema that came from outside, within bounds that no schema can break.

A client's schema is a program that we run: it may refer to itself for ever, branch a million times, or hold a pattern
that takes years. So a validation has a number of steps and a pattern has a time; nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import jsonschema
import referencing
import referencing.exceptions
import regex
from jsonschema import validators
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

_STEPS = 50_000  # keywords looked at in one validation: about a second
_PATTERN_SECONDS = 0.25
_LONGEST = 500  # characters of a message: validators repeat the value that does not fit

_left: ContextVar[list[int]] = ContextVar("steps_left")

type _Keyword = Callable[[Any, Any, Any, Any], Iterator[jsonschema.ValidationError] | None]


class UnusableSchema(Exception):
    """The schema is none, or to hold a value against it takes too long. `str(error)` says why."""


def problem(value: Any, schema: Any) -> str | None:
    """Why `value` does not fit `schema`: where, and what was expected. None where it fits.

    Raises:
        UnusableSchema: nothing can be held against it.
    """
    try:
        with_steps = _left.set([_STEPS])
        try:
            found = jsonschema.exceptions.best_match(_validator(schema).iter_errors(value))
        finally:
            _left.reset(with_steps)
    except referencing.exceptions.Unresolvable as error:
        raise UnusableSchema(f"it refers to {error.ref!r}, which is not in it") from error
    except (regex.error, TimeoutError) as error:
        raise UnusableSchema(f"one of its patterns cannot be used: {error}") from error
    except RecursionError as error:
        raise UnusableSchema("it refers to itself without end") from error
    if found is None:
        return None
    message = found.message if len(found.message) <= _LONGEST else f"{found.message[:_LONGEST]} ..."
    return f"{found.json_path}: {message}"


def check(schema: Any) -> None:
    """See that `schema` is a JSON Schema, of the draft that it names or else of 2020-12.

    Raises:
        UnusableSchema: it is not.
    """
    try:
        kind: Any = validator_for(schema, default=jsonschema.Draft202012Validator)
        # Without formats: whether a pattern is one is for `regex` to say, which knows more of them than `re`.
        kind.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
        for pattern in _patterns(schema):
            regex.compile(pattern)
    except jsonschema.SchemaError as error:
        raise UnusableSchema(f"{error.json_path}: {error.message[:_LONGEST]}") from error
    except regex.error as error:
        raise UnusableSchema(f"one of its patterns cannot be used: {error}") from error
    except RecursionError as error:
        raise UnusableSchema("it is nested too deeply") from error


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(pattern := schema.get("pattern"), str):
            yield pattern
        for value in schema.values():
            yield from _patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _patterns(value)


def _validator(schema: Any) -> Validator:
    kind = _bounded(validator_for(schema, default=jsonschema.Draft202012Validator))
    # With a registry of its own, it fetches nothing that the schema may refer to.
    validator: Validator = kind(schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER)
    return validator


@lru_cache
def _bounded(kind: Any) -> Any:
    """The draft's validator, every keyword of which counts."""
    keywords = {name: _counted(check) for name, check in kind.VALIDATORS.items()}
    return validators.extend(kind, {**keywords, "pattern": _counted(_pattern)})  # type: ignore[no-untyped-call]


def _counted(keyword: _Keyword) -> _Keyword:
    def counted(validator: Any, asked: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError] | None:
        left = _left.get()
        left[0] -= 1
        if left[0] < 0:
            raise UnusableSchema(f"to hold a value against it takes more than {_STEPS:,} steps")
        return keyword(validator, asked, instance, schema)

    return counted


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if validator.is_type(instance, "string") and not regex.search(pattern, instance, timeout=_PATTERN_SECONDS):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")
