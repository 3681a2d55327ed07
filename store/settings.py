"""Where the state lives and how firmly it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from programs.settings import Section


class StateSettings(Section):
    """The section `state`.

    What an acknowledged write survives depends on `synchronous`. With both values it survives the death of this
    process at any moment (`kill -9`, out of memory), for its bytes are then with the operating system. `full` waits
    until they are on the disk, so that it also survives power loss and a crash of the machine. With `normal` those
    may take the last commits, back to some earlier one; what is left is whole and consistent. Writes that wait at
    the same time share one commit, and so one wait for the disk.

    Attributes:
        sqlite_path: the database file; `~` is the home folder, missing folders are made. SQLite keeps a `-wal` and a
            `-shm` beside it. It must lie on a disk of this machine: network shares lack what the log needs.
        synchronous: `full` or `normal`, see above.
        busy_timeout_seconds: how long a write waits for another process that holds the database.

    """

    sqlite_path: Path = Path("var/rants.sqlite3")
    synchronous: Literal["normal", "full"] = "full"
    busy_timeout_seconds: float = Field(default=5.0, gt=0)
