"""Random schemas, each with a value that fits it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

type Pair = tuple[dict[str, Any], Any]

_NAMES = ("path", "filePath", "content", "line_count", "All", "x", "$block", "__proto__")
_TEXTS = ("", "a", "5", "true", "null", "None", "é\N{PILE OF POO}", "a\r\n\tb", "[1]", '{"a": 1}', " 1.5 ")


def schema_and_value(dice: random.Random, depth: int = 3) -> Pair:
    """A schema, and what fits it."""
    plain = [_text, _integer, _number, _boolean, _null, _enum, _const]
    deep = [_array, _object, _object, _any_of, _one_of_kinds, _all_of, _tuple, _reference]
    made = dice.choice(plain + deep if depth > 0 else plain)
    schema, value = made(dice, depth)
    if dice.random() < 0.2:
        schema["description"] = "What it is."
    return schema, value


def arguments(dice: random.Random) -> Pair:
    """A schema of an object, with the definitions that it refers to, and what fits it."""
    schema, value = _object(dice, 3)
    return {**schema, "$defs": {"word": {"type": "string"}, "number": {"$ref": "#/$defs/integer"}} | _INTEGER}, value


_INTEGER = {"integer": {"type": "integer"}}


def _text(dice: random.Random, depth: int) -> Pair:
    value = dice.choice(_TEXTS)
    return dice.choice([{}, {"minLength": len(value)}, {"maxLength": len(value) + 3}]) | {"type": "string"}, value


def _integer(dice: random.Random, depth: int) -> Pair:
    value = dice.choice([0, 1, -5, 10**20])
    return dice.choice([{}, {"minimum": value - 1}, {"maximum": value}, {"multipleOf": 1}]) | {"type": "integer"}, value


def _number(dice: random.Random, depth: int) -> Pair:
    value = dice.choice([0, 1.5, -2.0, 1e300])
    return dice.choice([{}, {"minimum": value}, {"exclusiveMaximum": value + abs(value) + 1}]) | {
        "type": "number"
    }, value


def _boolean(dice: random.Random, depth: int) -> Pair:
    return {"type": "boolean"}, dice.random() < 0.5


def _null(dice: random.Random, depth: int) -> Pair:
    return {"type": "null"}, None


def _enum(dice: random.Random, depth: int) -> Pair:
    values: list[Any] = dice.choice([["a", "A", "b"], [1, 2], [None, "None", "x"], [f"v{n}" for n in range(300)]])
    return {"enum": values}, dice.choice(values)


def _const(dice: random.Random, depth: int) -> Pair:
    value = dice.choice(["a", 1, None, {"a": [1]}])
    return {"const": value}, value


def _array(dice: random.Random, depth: int) -> Pair:
    items, value = schema_and_value(dice, depth - 1)
    count = dice.randint(0, 3)
    return dice.choice([{}, {"minItems": count}, {"maxItems": count}]) | {"type": "array", "items": items}, [
        value
    ] * count


def _tuple(dice: random.Random, depth: int) -> Pair:
    first, value = schema_and_value(dice, depth - 1)
    rest, other = schema_and_value(dice, depth - 1)
    return {"type": "array", "prefixItems": [first], "items": rest}, [value, other]


def _object(dice: random.Random, depth: int) -> Pair:
    properties, value = {}, {}
    required = []
    for name in dice.sample(_NAMES, dice.randint(0, 4)):
        properties[name], inner = schema_and_value(dice, depth - 1)
        if dice.random() < 0.7:
            value[name] = inner
            required += [name] if dice.random() < 0.6 else []
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    more = dice.randint(0, 3)
    if more == 0:
        schema["additionalProperties"] = False
    elif more == 1:
        schema["additionalProperties"], value["more"] = schema_and_value(dice, depth - 1)
    return schema, value


def _any_of(dice: random.Random, depth: int) -> Pair:
    pairs = [schema_and_value(dice, depth - 1) for _ in range(dice.randint(1, 3))]
    return {"anyOf": [schema for schema, _ in pairs]}, dice.choice(pairs)[1]


def _one_of_kinds(dice: random.Random, depth: int) -> Pair:
    made: Callable[[random.Random, int], Pair]
    made = dice.choice([_text, _integer, _boolean])
    schema, value = made(dice, depth)
    return {**schema, "type": [schema["type"], "null"]}, value if dice.random() < 0.8 else None


def _all_of(dice: random.Random, depth: int) -> Pair:
    schema, value = _object(dice, depth - 1)
    schema.pop("additionalProperties", None)
    value.pop("more", None)
    other = {"properties": {"extra": {"type": "string"}}, "required": ["extra"]}
    return {"allOf": [schema, other]}, {**value, "extra": "a"}


def _reference(dice: random.Random, depth: int) -> Pair:
    return dice.choice([({"$ref": "#/$defs/word"}, "a"), ({"$ref": "#/$defs/number"}, 7)])
