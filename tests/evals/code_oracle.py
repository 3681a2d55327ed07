"""Answers the questions of the task `code` from tokens and patterns: it shares nothing with how they are made."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from evals.tasks import Task

_LAYOUT = {tokenize.NEWLINE, tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT}
_PLACE = r"the (?:function|method) `(?P<name>\w+)`(?: of the class `(?P<owner>\w+)`)? in (?P<file>\S+?\.py)"
_CLASS = r"`(?P<owner>\w+)` in (?P<file>\S+?\.py)"


@dataclass
class Block:
    """A `def` or `class`: what it is within, its head up to the colon, and all words of it."""

    name: str
    within: tuple[str, ...]
    head: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @property
    def bracketed(self) -> list[list[str]]:
        """What is between the brackets of the head, parted by commas, each as its words."""
        parts: list[list[str]] = [[]]
        depth = 0
        for word in self.head:
            depth -= word in ")]}"
            if depth == 1 and word == ",":
                parts.append([])
            elif depth >= 1:
                parts[-1].append(word)
            elif depth == 0 and word == ")":
                break
            depth += word in "([{"
        return [part for part in parts if part]


def blocks(text: str) -> list[Block]:
    """Everything that a file defines."""
    found: list[Block] = []
    still: list[tuple[int, Block]] = []
    level = depth = 0
    reading = False
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for place, token in enumerate(tokens):
        if token.type == tokenize.INDENT:
            level += 1
        if token.type == tokenize.DEDENT:
            level -= 1
        if token.type in _LAYOUT:
            continue
        while still and depth == 0 and level <= still[-1][0] and not reading and _first(token):
            still.pop()
        if token.type == tokenize.NAME and token.string in ("def", "class"):
            block = Block(tokens[place + 1].string, tuple(block.name for _, block in still))
            found.append(block)
            still.append((level, block))
            reading = True
        for _, block in still:
            block.words.append(token.string)
        if reading:
            still[-1][1].head.append(token.string)
        if token.type == tokenize.OP:  # an f-string has them as text, too
            depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
        reading = reading and not (token.string == ":" and depth == 0)
    return found


def _first(token: tokenize.TokenInfo) -> bool:
    """Whether a line begins with the token: what follows a colon on the same line is still the block's."""
    return token.line[: token.start[1]].strip() == ""


def oracle(task: Task) -> list[str]:
    """The letters that are right."""
    question = task.question.partition("its path. ")[2]
    files = dict(re.findall(r"^# file: (\S+)\n(.*?)\n(?=# file: |\Z)", task.context, re.MULTILINE | re.DOTALL))
    choices = dict(re.findall(r"^([A-D])\) (.*)$", question, re.MULTILINE))
    assert list(choices) == ["A", "B", "C", "D"]
    assert len(set(choices.values())) == 4
    right = list(_right(question, files, choices))
    return [letter for letter, choice in choices.items() if choice in right]


def _right(question: str, files: dict[str, str], choices: dict[str, str]) -> Iterator[str]:
    if asked := re.match(r"In which file is `(\w+)` defined", question):
        wanted = re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{asked[1]}\b", re.MULTILINE)
        yield from (name for name, text in files.items() if wanted.search(text))
    elif asked := re.match(r"Which of these files imports the module `(\w+)`", question):
        yield from (name for name in choices.values() if asked[1] in _imported(files[name]))
    elif asked := re.match(rf"What is the default of the parameter `(\w+)` of {_PLACE}\?", question):
        for part in _one(files, asked).bracketed:
            if part[0] == asked[1]:
                yield "".join(part[part.index("=") + 1 :])
    elif asked := re.match(rf"How many parameters does {_PLACE} have", question):
        parts = [part for part in _one(files, asked).bracketed if part not in (["*"], ["/"])]
        yield str(len(parts) - (parts[0][0] in ("self", "cls")))
    elif asked := re.match(rf"Which exception does {_PLACE} raise", question):
        words = _one(files, asked).words
        for place, word in enumerate(words):
            if word == "raise":
                end = place + 2
                while words[end : end + 1] == ["."]:
                    end += 2
                yield "".join(words[place + 1 : end])
    elif asked := re.match(rf"Which class does {_CLASS} inherit", question):
        (block,) = (one for one in blocks(files[asked["file"]]) if (one.name, one.within) == (asked["owner"], ()))
        yield from ("".join(part) for part in block.bracketed)
    elif asked := re.match(rf"Which of these methods of the class {_CLASS} calls `(\w+)`", question):
        for block in blocks(files[asked["file"]]):
            pairs = zip(block.words[2:], block.words[3:], strict=False)
            if block.within == (asked["owner"],) and (asked[3], "(") in pairs:
                yield block.name
    elif asked := re.match(rf"Which class .* when `(\w+)` is called on an instance of the class {_CLASS}", question):
        known = blocks(files[asked["file"]])
        owner = asked["owner"]
        while (asked[1], (owner,)) not in [(block.name, block.within) for block in known]:
            (block,) = (one for one in known if (one.name, one.within) == (owner, ()))
            ((owner,),) = block.bracketed
        yield owner
    else:
        raise AssertionError(question)


def _one(files: dict[str, str], asked: re.Match[str]) -> Block:
    within = (asked["owner"],) if asked["owner"] else ()
    (block,) = (one for one in blocks(files[asked["file"]]) if (one.name, one.within) == (asked["name"], within))
    return block


def _imported(text: str) -> set[str]:
    found = set()
    for line in re.findall(r"(?:^|[;:])[ \t]*((?:from|import)[ \t].*)", text, re.MULTILINE):
        words = line.split()
        if words[0] == "from":
            found.add(words[1].partition(".")[0])
        else:
            names = line.partition("#")[0].removeprefix("import").split(",")
            found |= {name.split()[0].partition(".")[0] for name in names if name.strip()}
    return found
