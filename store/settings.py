"""Where the state lives and how durable a commit is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from programs.settings import Section


class StateSettings(Section):
    """The section `state`.

    Attributes:
        sqlite_path: the database file; `~` is the home folder, missing folders are made. SQLite keeps `-wal` and `-shm`
            files beside it. It must lie on a local disk: write-ahead logging does not work over a network share.
        synchronous: what an acknowledged write survives. Both survive the death of this process at any moment
            (`kill -9`, out of memory), for the bytes are then with the operating system. `full` also waits for the disk
            (one fsync a commit), so that they survive power loss and a crash of the machine. `normal` leaves the disk to
            the next checkpoint: after power loss the last commits may be gone, though what is there is whole and
            consistent. Writes that wait together share one commit and so one fsync.
        busy_timeout_seconds: how long a write waits for another process that holds the database, before `StoreError`.
    """

    sqlite_path: Path = Path("var/rants.sqlite3")
    synchronous: Literal["normal", "full"] = "full"
    busy_timeout_seconds: float = Field(default=5.0, gt=0)
