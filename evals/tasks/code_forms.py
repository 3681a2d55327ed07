"""The forms of the task `code`: each finds questions in files, with one right answer and three that are wrong."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from evals.tasks.repository import Source
from evals.tasks.syntax import Routine, akin, classes, dotted, mentions, methods, routines

_WRONG = 3
_LONGEST_DEFAULT = 40  # characters
_FEWEST_PARAMETERS = 2
_SAMPLE = 50  # files
_TOO_COMMON = {"object", "Exception"}  # a class that inherits from them can be guessed to


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, what is right, and three answers that are not."""

    text: str
    right: str
    wrong: tuple[str, ...]


type Form = Callable[[random.Random, Sequence[Source]], Iterator[Question]]
"""Gives questions about these files in any order, as long as there are some."""


def where(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """In which file something is defined; those that speak of it, too, are the first that are wrong."""
    for source in _mixed(dice, sources):
        for name in _mixed(dice, [node.name for node in classes(source)] + [_name(one) for one in routines(source)]):
            told = re.compile(rf"\b(?:def|class)\s+{name}\b")
            if akin(name, source.path) or sum(len(told.findall(other.text)) for other in sources) != 1:
                continue
            others = [other for other in sources if other is not source and not akin(name, other.path)]
            first = [other.path for other in others if mentions(other.text, name)]
            rest = [other.path for other in others if other.path not in first]
            text = f"In which file is `{name}` defined, with `def` or `class`?"
            yield from _asked(text, source.path, [*_mixed(dice, first), *_mixed(dice, rest)])


def default(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """The default of a parameter, among others of its type; first those of parameters of its name."""
    some = _some_routines(dice, sources)
    known = {text: (one, name, value) for one in some for name, value, text in _defaults(one)}
    for text, (routine, name, value) in _mixed(dice, known.items()):
        others = [
            (another != name, shown)
            for one in some
            for another, other, shown in _defaults(one)
            if type(other) is type(value) and other != value
        ]
        wrong = [shown for _, shown in sorted(_mixed(dice, others), key=lambda other: other[0])]
        yield from _asked(f"What is the default of the parameter `{name}` of {routine}?", text, wrong)


def parameters(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """How many parameters there are, among numbers in a row."""
    known = {len(one.parameters): one for one in _some_routines(dice, sources)}
    for count, routine in _mixed(dice, known.items()):
        if count < _FEWEST_PARAMETERS:
            continue
        first = dice.randint(max(0, count - _WRONG), count)
        text = (
            f"How many parameters does {routine} have, where `self` or `cls` at the head is not counted, and one "
            "with a star or two is counted as one?"
        )
        wrong = [str(number) for number in range(first, first + _WRONG + 1) if number != count]
        yield from _asked(text, str(count), wrong)


def calls(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """Which method of a class calls something, among those that do not even mention it."""
    for source in _mixed(dice, sources):
        for owner in _mixed(dice, classes(source)):
            known = methods(source, owner)
            for routine in _mixed(dice, known):
                for called in _mixed(dice, sorted(_called(routine.node))):
                    if akin(called, _name(routine)):
                        continue
                    silent = [_name(one) for one in known if not mentions(one.text, called)]
                    text = f"Which of these methods of the class `{owner.name}` in {source.path} calls `{called}`?"
                    yield from _asked(text, _name(routine), _mixed(dice, silent))


def base(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """What a class inherits from, among what others inherit from; first those of its own file."""
    for source in _mixed(dice, sources):
        for node in _mixed(dice, classes(source)):
            right = _base(node)
            if right is None or right in _TOO_COMMON or akin(right, node.name):
                continue
            wrong = (
                other
                for file in [source, *_mixed(dice, sources)]
                for one in _mixed(dice, classes(file))
                if (other := _base(one)) is not None
                and other not in _TOO_COMMON
                and other.rpartition(".")[2] not in (right.rpartition(".")[2], node.name)
            )
            yield from _asked(f"Which class does `{node.name}` in {source.path} inherit from directly?", right, wrong)


def inherited(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """Where a method is found that a class has from one of those that it inherits from, in the same file."""
    for source in _mixed(dice, sources):
        known = {node.name: node for node in classes(source)}
        for node in _mixed(dice, known.values()):
            line = list(_line(node, known))
            for place, ancestor in _mixed(dice, list(enumerate(line))[1:]):
                plain = [_name(one) for one in methods(source, ancestor) if not one.node.decorator_list]
                for method in _mixed(dice, plain):
                    # A class's decorator may add what is not written there.
                    if any(method in _bound(below) or below.decorator_list for below in line[:place]):
                        continue
                    near = [one.name for one in line[1:] if one is not ancestor]
                    others = [name for name in known if name not in near and name != node.name]
                    alike = [name for name in others if method in _bound(known[name])]
                    rest = [name for name in others if name not in alike]
                    text = (
                        f"Which class defines the method that runs when `{method}` is called on an instance of "
                        f"the class `{node.name}` in {source.path}?"
                    )
                    wrong = [*_mixed(dice, alike), *_mixed(dice, near), *_mixed(dice, rest)]
                    yield from _asked(text, ancestor.name, wrong)


def raises(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """The one exception that is raised by name, among those that others raise; first those of its file."""
    some = [(raised, one) for one in _some_routines(dice, sources) if (raised := _raised(one.node)) is not None]
    for right, routine in _mixed(dice, dict(some).items()):
        if akin(right, _name(routine)) or _name(routine).startswith("__"):  # those are known to raise one thing
            continue
        others = [
            (one.source is not routine.source, other)
            for other, one in some
            if not mentions(routine.text, other.rpartition(".")[2])
        ]
        wrong = [other for _, other in sorted(_mixed(dice, others), key=lambda other: other[0])]
        yield from _asked(f"Which exception does {routine} raise itself, by its name?", right, wrong)


def imports(dice: random.Random, sources: Sequence[Source]) -> Iterator[Question]:
    """Which file imports a module, among those that do not even mention it."""
    for source in _mixed(dice, sources):
        for module in _mixed(dice, sorted(_imported(source))):
            if not akin(module, source.path):
                wrong = (other.path for other in _mixed(dice, sources) if not mentions(str(other), module))
                yield from _asked(f"Which of these files imports the module `{module}`?", source.path, wrong)


FORMS: tuple[Form, ...] = (where, default, parameters, calls, base, inherited, raises, imports)


def _asked(text: str, right: str, wrong: Iterable[str]) -> Iterator[Question]:
    """The question with the first three different answers that are wrong, if there are as many."""
    found: dict[str, None] = {}
    for one in wrong:
        if one != right:
            found[one] = None
        if len(found) == _WRONG:
            yield Question(text, right, tuple(found))
            return


def _mixed[T](dice: random.Random, things: Iterable[T]) -> list[T]:
    listed = list(things)
    return dice.sample(listed, len(listed))


def _some_routines(dice: random.Random, sources: Sequence[Source]) -> list[Routine]:
    """Those of so many files that what is common everywhere is not what is mostly asked about."""
    return [one for source in _mixed(dice, sources)[:_SAMPLE] for one in routines(source)]


def _name(routine: Routine) -> str:
    return routine.node.name


def _defaults(routine: Routine) -> Iterator[tuple[str, int | float | str, str]]:
    """Parameters with a number or a string for a default: their names, its value, and how it is written."""
    for name, node in routine.defaults:
        try:
            value = ast.literal_eval(node)
        except ValueError:
            continue
        text = ast.get_source_segment(routine.source.text, node) or ""
        if type(value) in (int, float, str) and "\n" not in text and len(text) <= _LONGEST_DEFAULT:
            yield name, value, text


def _called(node: ast.AST) -> set[str]:
    names = [dotted(below.func) for below in ast.walk(node) if isinstance(below, ast.Call)]
    return {name.rpartition(".")[2] for name in names if name}


def _base(node: ast.ClassDef) -> str | None:
    """What a class inherits from, where it is one class."""
    return dotted(node.bases[0]) if len(node.bases) == 1 and not node.keywords else None


def _line(node: ast.ClassDef | None, known: dict[str, ast.ClassDef]) -> Iterator[ast.ClassDef]:
    """A class, its base, the base's base, as far as they are known."""
    seen = set()
    while node is not None and node.name not in seen:
        seen.add(node.name)
        yield node
        node = known.get(_base(node) or "")


def _bound(node: ast.ClassDef) -> set[str]:
    """Every name that is given something anywhere in a class."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    below = list(ast.walk(node))
    named = {one.name for one in below if isinstance(one, definitions)}
    return named | {one.id for one in below if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _raised(node: ast.AST) -> str | None:
    """The exception that is raised, where all `raise` statements name the same and no function is within this one."""
    names = set()
    for below in ast.walk(node):
        if below is not node and isinstance(below, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return None
        if isinstance(below, ast.Raise):
            raised = below.exc.func if isinstance(below.exc, ast.Call) else below.exc
            names.add(dotted(raised) if raised is not None else None)
    name = names.pop() if len(names) == 1 else None
    return name if name is not None and name.rpartition(".")[2][:1].isupper() else None


def _imported(source: Source) -> set[str]:
    """The modules' names up to the first dot."""
    found = set()
    for node in ast.walk(source.tree) if source.tree else ():
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
