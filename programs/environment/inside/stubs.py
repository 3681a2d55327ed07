"""Host functions and SUBMIT as the code sees them: whatever models pass, made into the JSON that leaves the sandbox."""

from __future__ import annotations

import json
from typing import Any, Protocol


class Caller(Protocol):
    """The way out of the sandbox."""

    def call(self, name: str, values: list[Any], fields: dict[str, Any]) -> Any:
        """Have the host function `name` run with these arguments."""
        ...


def submission(values: tuple[Any, ...], fields: dict[str, Any], longest: int) -> dict[str, Any]:
    """What SUBMIT was called with, as JSON: `values` and `fields`.

    Raises:
        TypeError: it was called with nothing.
        ValueError: it is longer than `longest`, in bytes.
    """
    if not values and not fields:
        raise TypeError("SUBMIT takes the answer: SUBMIT(answer)")
    submitted = {"values": [plain(value) for value in values], "fields": plain(fields)}
    if len(json.dumps(submitted, ensure_ascii=False).encode("utf-8", "replace")) > longest:
        raise ValueError(f"the answer is longer than {longest:,} bytes: submit less")
    return submitted


def answer(values: list[Any], fields: dict[str, Any]) -> Any:
    """What was submitted: the value, a list where several were given, a dict where they were named."""
    if fields:
        return fields
    return values[0] if len(values) == 1 else values


def host_function(caller: Caller, name: str) -> Any:
    """A host function as the code sees it. The three of ours take what models tend to pass.

    Each returns what `caller.call` does.
    """

    def llm_query(prompt: Any, **_: Any) -> Any:
        """Ask a language model; returns its answer as text."""
        return caller.call(name, [str(prompt)], {})

    def llm_query_batched(prompts: Any, **_: Any) -> Any:
        """Ask a language model many things at once; returns the answers in order."""
        return caller.call(name, [[str(prompt) for prompt in prompts]], {})

    def rlm_query(query: Any, context: Any = None, **_: Any) -> Any:
        """Have a question answered over a context of its own; returns the answer as text."""
        if context is None:
            context = ""
        if not isinstance(context, (str, list)):
            context = str(context)
        if isinstance(context, list):
            context = _messages(context) or [str(item) for item in context]
        return caller.call(name, [str(query), context], {})

    def other(*values: Any, **fields: Any) -> Any:
        return caller.call(name, [plain(value) for value in values], plain(fields))

    known = {"llm_query": llm_query, "llm_query_batched": llm_query_batched, "rlm_query": rlm_query}
    function = known.get(name, other)
    function.__name__ = function.__qualname__ = name
    return function


def _messages(items: list[Any]) -> list[dict[str, str]]:
    """The conversation that `items` are; empty where one of them is no message."""
    if not all(isinstance(item, dict) and item.keys() == {"role", "content"} for item in items):
        return []
    return [{"role": str(item["role"]), "content": str(item["content"])} for item in items]


def plain(value: Any) -> Any:
    """`value` as JSON can say it; what it cannot say becomes text."""
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=str))
    except (TypeError, ValueError, RecursionError):
        return str(value)
