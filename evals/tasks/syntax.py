"""What a file of Python defines, as far as a name says without doubt what is meant."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from evals.tasks.repository import Source

type Function = ast.FunctionDef | ast.AsyncFunctionDef

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_TELLING = 4  # characters that a word must have to give something away


@dataclass(frozen=True, slots=True)
class Routine:
    """A function at the top of a file, or a method of a class there.

    Attributes:
        source: the file.
        owner: the class of a method.
        node: its definition.
    """

    source: Source
    owner: str | None
    node: Function

    def __str__(self) -> str:
        if self.owner is None:
            return f"the function `{self.node.name}` in {self.source.path}"
        return f"the method `{self.node.name}` of the class `{self.owner}` in {self.source.path}"

    @property
    def text(self) -> str:
        """Its lines, without its decorators."""
        return "\n".join(self.source.text.split("\n")[self.node.lineno - 1 : self.node.end_lineno])

    @property
    def parameters(self) -> list[ast.arg]:
        """All of them in order, without a `self` or `cls` at the head."""
        own = self.node.args
        found = [*own.posonlyargs, *own.args, *filter(None, [own.vararg]), *own.kwonlyargs, *filter(None, [own.kwarg])]
        return found[1:] if found and found[0].arg in ("self", "cls") else found

    @property
    def defaults(self) -> Iterator[tuple[str, ast.expr]]:
        """The parameters that have one, with it."""
        own = self.node.args
        ordered = [*own.posonlyargs, *own.args]
        for argument, default in zip(ordered[len(ordered) - len(own.defaults) :], own.defaults, strict=True):
            yield argument.arg, default
        for argument, value in zip(own.kwonlyargs, own.kw_defaults, strict=True):
            if value is not None:
                yield argument.arg, value


def classes(source: Source) -> list[ast.ClassDef]:
    """The classes at the top of a file whose name is defined once in it."""
    if source.tree is None:
        return []
    counts = _counts(source.tree)
    return [node for node in source.tree.body if isinstance(node, ast.ClassDef) and counts[node.name] == 1]


def methods(source: Source, owner: ast.ClassDef) -> list[Routine]:
    """The methods of a class whose name is defined once in it."""
    counts = _counts(owner)
    return [Routine(source, owner.name, node) for node in _functions(owner) if counts[node.name] == 1]


def routines(source: Source) -> list[Routine]:
    """All that there are of either kind."""
    if source.tree is None:
        return []
    counts = _counts(source.tree)
    found = [Routine(source, None, node) for node in _functions(source.tree) if counts[node.name] == 1]
    for owner in classes(source):
        found += methods(source, owner)
    return found


def dotted(node: ast.expr) -> str | None:
    """A name, also one with dots, as it is written."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=name) if (before := dotted(value)) is not None:
            return f"{before}.{name}"
    return None


def mentions(text: str, name: str) -> bool:
    """Whether a name is anywhere in a text, also in a comment."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def akin(one: str, other: str) -> bool:
    """Whether a name gives another away, since they share a word."""
    return any(
        len(word) >= _TELLING and word.lower() in long.lower()
        for short, long in ((one, other), (other, one))
        for word in _WORD.findall(short)
    )


def _counts(node: ast.AST) -> Counter[str]:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return Counter(below.name for below in ast.walk(node) if isinstance(below, definitions))


def _functions(parent: ast.Module | ast.ClassDef) -> list[Function]:
    return [node for node in parent.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
