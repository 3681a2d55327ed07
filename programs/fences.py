"""Reads a reply that holds code: a little prose, then fenced blocks of Python.

    Let me look for it.
    ```python
    print(search(question))
    ```

Models differ in how they close and name a fence, so what can be meant by it is taken for it: any tag that means Python,
none at all, a fence that is indented as in a list, one that closes on its last line of code, and a last one that was
never closed. Blocks of other languages are prose.
"""

from __future__ import annotations

import re

_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*+)`{3,}+[ \t]*+(?P<tag>[\w+-]*+)[^\n]*+\n(?P<body>.*?)(?:^[ \t]*+`{3,}+[ \t\r]*+$|\Z)",
    re.DOTALL | re.MULTILINE,
)
_PYTHON = {"", "python", "python3", "py", "repl"}


def read_code(reply: str) -> tuple[str, str]:
    """A reply as (the words before its first block, the code of all its blocks, in order).

    What is written between and after blocks is dropped: it is most often a guess at what the code will print.
    """
    blocks = [block for block in _BLOCK.finditer(reply) if block["tag"].lower() in _PYTHON and _code(block)]
    if not blocks:
        return reply.strip(), ""
    return reply[: blocks[0].start()].strip(), "\n".join(map(_code, blocks))


def _code(block: re.Match[str]) -> str:
    """The code of a block: indented no further than its fence, and without a fence that closes on its last line."""
    code = block["body"]
    if indent := len(block["indent"]):
        code = re.sub(rf"^[ \t]{{1,{indent}}}", "", code, flags=re.MULTILINE)
    code = code.rstrip()
    while code.endswith("```"):
        code = code.rstrip("`").rstrip()
    return code


def write_code(reasoning: str, code: str) -> str:
    """The reply that `read_code` reads as `reasoning` and `code`."""
    return "\n".join(part for part in (reasoning, f"```python\n{code}\n```" if code else "") if part)
