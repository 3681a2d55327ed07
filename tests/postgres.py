"""A PostgreSQL of the test session's own: as it is installed, in a temporary folder, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from tests.support import eventually

PASSWORD = "s3cret/wörd"

_DEBIAN = Path("/usr/lib/postgresql")
_CARELESS = {"fsync": "off", "full_page_writes": "off", "max_connections": "200", "autovacuum": "off"}


def programs() -> Path | None:
    """Where `initdb` and `postgres` are, or None where they are not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


class PostgresServer:
    """A running server, in which `database()` makes a new database for whoever wants one.

    Attributes:
        port: on 127.0.0.1, where the user `rants` needs the password.
        folder: what it writes, also its Unix socket, over which anybody is let in.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self._numbers = count()

    def url(self, database: str) -> str:
        """What the configuration calls `state.url`."""
        return f"postgresql://rants:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        """Make a database as `template` is; gives its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the server's owner."""
        with psycopg.connect(host=str(self.folder), port=self.port, user="rants", dbname=database) as connection:
            connection.autocommit = True
            connection.execute(statement)


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Make and start one; in the end it is stopped and removed."""
    with tempfile.TemporaryDirectory(prefix="rants-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        as_user = _unprivileged()
        if "user" in as_user:
            shutil.chown(folder, as_user["user"], as_user["group"])
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        data = folder / "data"
        authentication = ["--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"]
        make = ["--no-sync", "--encoding=UTF8", "--locale=C", "--username=rants", *authentication]
        initdb: list[str | Path] = [binaries / "initdb", "-D", data, *make]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = [word for key, value in _CARELESS.items() for word in ("-c", f"{key}={value}")]
        server = PostgresServer(folder, port)
        command: list[str | Path] = [
            binaries / "postgres",
            "-D",
            data,
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-k",
            folder,
            *settings,
        ]
        with (folder / "log").open("wb") as log:
            process: subprocess.Popen[Any] = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)
        try:
            _wait_for(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            process.wait(60)


def _unprivileged() -> dict[str, Any]:
    """Who runs it, for `subprocess`: PostgreSQL refuses root, and wants somebody who has a name."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for(server: PostgresServer, process: subprocess.Popen[Any]) -> None:
    def answers() -> bool:
        assert process.poll() is None, (server.folder / "log").read_text()
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    eventually(answers, within=60)
