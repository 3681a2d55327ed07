"""Where the state lives and how firmly it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import ConfigDict, Field, SecretStr, field_validator

from programs.settings import Section

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


class StateSettings(Section):
    """The section `state`.

    What an acknowledged write survives depends on `synchronous`. With both values it survives the death of this
    process at any moment (`kill -9`, out of memory), for its bytes are then with the operating system, or with
    PostgreSQL. `full` waits until they are on the disk (of PostgreSQL: for as long as it is configured to), so that it
    also survives power loss and a crash of the machine. With `normal` those may take the last commits, back to some
    earlier one; what is left is whole and consistent. Writes that wait at the same time share one commit of SQLite,
    and so one wait for the disk.

    Attributes:
        url: `postgresql://USER:PASSWORD@HOST/DATABASE`, with libpq's parameters after a `?`, or `sqlite:///PATH`; it
            beats `sqlite_path`. Several machines need PostgreSQL.
        sqlite_path: the database file; `~` is the home folder, missing folders are made. SQLite keeps a `-wal` and a
            `-shm` beside it. It must lie on a disk of this machine: network shares lack what the log needs.
        synchronous: `full` or `normal`, see above.
        busy_timeout_seconds: how long a write waits for another process that holds the database, and how long to
            connect may take.
        connections: the most that one process opens to PostgreSQL. Half of them write.
        lease_seconds: after how long a silence of a process its runs are taken over by the others. It tells that it
            lives, and looks after the others, three times as often.
        retention_days: how long a run that has ended is kept, with what only it needs, and what is known of the tools
            that were executed. What runs cost is kept for good. None keeps everything.

    """

    model_config = ConfigDict(hide_input_in_errors=True)  # it may hold a password

    url: SecretStr | None = None
    sqlite_path: Path = Path("var/rants.sqlite3")
    synchronous: Literal["normal", "full"] = "full"
    busy_timeout_seconds: float = Field(default=5.0, gt=0)
    connections: int = Field(default=8, ge=2)
    lease_seconds: float = Field(default=15.0, gt=0)
    retention_days: float | None = Field(default=None, gt=0)

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().removeprefix(_SQLITE):
            raise ValueError("name a file: sqlite:///PATH")
        if url is not None and not url.get_secret_value().startswith(_SQLITE):
            _parts(url.get_secret_value())
        return url

    @property
    def postgres(self) -> dict[str, Any] | None:
        """What libpq needs to connect, by its names for it; None where the state is in SQLite."""
        if self.url is None or self.url.get_secret_value().startswith(_SQLITE):
            return None
        return _parts(self.url.get_secret_value())

    @property
    def file(self) -> Path | None:
        """SQLite's file, or None where the state is in PostgreSQL."""
        if self.postgres is not None:
            return None
        if self.url is not None:
            return Path(self.url.get_secret_value().removeprefix(_SQLITE)).expanduser()
        return self.sqlite_path.expanduser()

    @property
    def place(self) -> str:
        """Where the state is, in words that anybody may read: without a password."""
        parts = self.postgres
        if parts is None:
            return str(self.file)
        user = f"{parts['user']}@" if "user" in parts else ""
        port = f":{parts['port']}" if "port" in parts else ""
        return f"postgresql://{user}{parts.get('host', '')}{port}/{parts.get('dbname', '')}"


def _parts(url: str) -> dict[str, Any]:
    form = "write postgresql://USER:PASSWORD@HOST/DATABASE, or sqlite:///PATH"
    if not url.startswith(_POSTGRES):
        raise ValueError(f"no URL of a database that is known: {form}")
    wrong = ValueError(f"cannot be read: {form}; special characters in a password are %XX there")
    try:
        parts = {name: value for name, value in conninfo_to_dict(url).items() if value is not None}
    except ProgrammingError:
        raise wrong from None  # libpq's own sentence may repeat a part of the password
    if not str(parts.get("port", 0)).replace(",", "").isdecimal():  # with several hosts there are several
        raise wrong
    return parts
