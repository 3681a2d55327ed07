"""Outputs that are too long for a model: their head and their tail are shown, and all of it is kept in the workspace.

`.rants/outputs` holds the newest of them, where `read` and `grep` find them; git does not see it.
"""

from __future__ import annotations

import re
import secrets

from programs.errors import ToolFailed
from programs.tools.staging import Change
from programs.tools.walking import KEPT, entries
from programs.tools.workspace import Workspace

_FOLDER = f"{KEPT}/outputs"
_MOST = 50
_NOTE = 300  # characters that a note may have


def shortened(workspace: Workspace, tool: str, text: str, most: int) -> str:
    """`text` where it has at most `most` characters; else its head and tail, with a note of where all of it is."""
    if len(text) <= most:
        return text
    room = max(0, most - _NOTE)
    head, tail = text[: 2 * room // 3], text[len(text) - room // 3 :]
    # Whole lines, unless that would leave out much more.
    head = head[: head.rfind("\n") + 1] if head.rfind("\n") > len(head) // 2 else head
    tail = tail[tail.find("\n") + 1 :] if 0 <= tail.find("\n") < len(tail) // 2 else tail
    left_out = f"{len(text) - len(head) - len(tail):,} characters are left out here"
    line = head.count("\n") + 1
    try:
        path = _keep(workspace, tool, text)
    except ToolFailed as error:
        note = f"{left_out}, and could not be kept: {str(error)[:150]}"
    else:
        note = f"{left_out}; all of it is in {path}: read that from `offset` {line} on, or grep in it"
    return f"{head.removesuffix('\n')}\n[... {note} ...]\n{tail}"


def _keep(workspace: Workspace, tool: str, text: str) -> str:
    """Write a text to a new file, and remove the oldest ones; gives its path."""
    path = f"{_FOLDER}/{re.sub(r'[^A-Za-z0-9_]', '-', tool)[:40]}-{secrets.token_hex(4)}.txt"
    with workspace.alone():
        if workspace.stat(f"{KEPT}/.gitignore") is None:
            workspace.write(f"{KEPT}/.gitignore", b"*\n")
        workspace.write(path, text.encode())
        kept = sorted(entries(workspace, _FOLDER), key=lambda entry: entry.modified)
        old = [entry for entry in kept[:-_MOST] if entry.kind != "folder"]
        workspace.change([Change(entry.path, None) for entry in old])
    return path
