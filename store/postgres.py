"""PostgreSQL as the store's database: any number of processes on any number of machines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee as pw
import psycopg
from psycopg.types.string import StrDumperUnknown, TextLoader

from programs.errors import StoreError
from store.settings import StateSettings

_MIGRATING, _WORK = 7_261_152, 7_261_153  # an advisory lock is a number that all who want it know
_PASSING = {
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UniqueViolation,  # two add the same row
    psycopg.errors.ForeignKeyViolation,  # one refers to what the other removes
}
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


class Postgres(pw.PostgresqlDatabase):
    """The database that is configured. Each thread gets its own connection, when it runs its first statement."""

    def __init__(self, settings: StateSettings, *, read_only: bool = False) -> None:
        assert settings.postgres is not None  # noqa: S101
        parts = {
            "connect_timeout": max(2, round(settings.busy_timeout_seconds)),  # libpq takes no less than two
            "application_name": "rants",
            "client_encoding": "utf8",
            **_KEEPALIVE,
            **settings.postgres,
        }
        self._password = str(parts.get("password") or "")
        self._settings = settings
        self._read_only = read_only
        super().__init__(parts.pop("dbname", ""), prefer_psycopg3=True, **parts)

    def _initialize_connection(self, conn: Any) -> None:
        conn.adapters.register_dumper(str, _Dumper)
        conn.adapters.register_loader("text", _Loader)
        wait = f"{round(self._settings.busy_timeout_seconds * 1000)}ms"
        conn.execute("SELECT set_config('lock_timeout', %s, false)", (wait,))
        if self._settings.synchronous == "normal":
            conn.execute("SET synchronous_commit = off")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold a lock in a transaction, while other processes that want it wait."""
        with self.atomic():
            self.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))  # type: ignore[no-untyped-call]
            yield

    def one_at_a_time(self, work: str) -> None:
        """Until the end of the transaction, have others wait who come here for the same work."""
        self.execute_sql("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", (_WORK, work))  # type: ignore[no-untyped-call]

    def begin_jobs(self) -> None:
        """Begin a transaction for jobs, over a new connection where the old one is found to be lost."""
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if self._read_only else "BEGIN"
        fresh = self.is_closed()
        try:
            self.execute_sql(begin)  # type: ignore[no-untyped-call]
        except (pw.OperationalError, pw.InterfaceError):
            if fresh:
                raise
            self.close()
            self.execute_sql(begin)  # type: ignore[no-untyped-call]

    def take_back(self) -> None:
        """End the transaction and forget what it did; a connection that cannot is given up."""
        try:
            self.rollback()
        except pw.PeeweeException:
            self.close()

    @staticmethod
    def passes(error: Exception) -> bool:
        """Whether the same job may do better when it is tried again: somebody else was in its way."""
        return type(_first(error)) in _PASSING

    def explain(self, error: Exception) -> StoreError:
        """Give the `StoreError` that says what is wrong with the database and what to do about it."""
        first, place = _first(error), self._settings.place
        # What happens before there is a connection has no code, but words.
        code, said = getattr(first, "sqlstate", None) or "", str(first).strip()
        after = "Nothing was written"
        if code == "28P01" or "password authentication failed" in said or "no password supplied" in said:
            wrong, advice = f"PostgreSQL refuses the user or the password for {place}", "correct them in state.url"
        elif code == "3D000" or ('database "' in said and "does not exist" in said):
            wrong, advice = f"There is no such database: {place}", "make it with createdb, or correct state.url"
        elif code == "28000" or ('role "' in said and "does not exist" in said) or "no pg_hba.conf entry" in said:
            wrong = f"PostgreSQL does not let this user in to {place}"
            advice = "correct state.url, or PostgreSQL's roles and pg_hba.conf"
        elif code == "42501" or "permission denied" in said:
            wrong = f"The user of {place} lacks a permission"
            advice = "make it the owner of the database, or grant it CREATE and USAGE on the schema"
        elif code == "53300" or "too many clients" in said or "remaining connection slots" in said:
            wrong = f"{place} takes no more connections"
            advice = "lower state.connections, or raise PostgreSQL's max_connections"
        elif code in ("53100", "53200"):
            wrong, advice = f"The machine of {place} has no space or memory left", "free some"
        elif code == "55P03":
            wrong = f"Another process has kept {place} locked for {self._settings.busy_timeout_seconds:g} s"
            advice = "stop it, or raise state.busy_timeout_seconds"
        elif code == "25006":
            wrong, advice = f"{place} is read-only", "connect to the primary server"
        elif not code and "connection failed" in said:
            wrong = f"{place} cannot be reached"
            advice = "see that PostgreSQL runs there, listens and is not kept out by a firewall, or correct state.url"
        elif code.startswith(("08", "57P")) or (not code and isinstance(first, psycopg.OperationalError)):
            wrong = f"The connection to {place} was lost"
            advice = "see that PostgreSQL runs; the next request connects again"
            after = "Whether the last write was kept is not known"
        else:
            wrong, advice = f"The database {place} failed", "see what PostgreSQL says"
        if self._password:
            said = said.replace(self._password, "***")
        return StoreError(f"{wrong}: {advice}. {after}. (PostgreSQL: {said})")


def _first(error: BaseException) -> BaseException:
    """Give psycopg's own error where it began: Peewee wraps it."""
    while isinstance(error.__context__, (pw.PeeweeException, psycopg.Error)):
        error = error.__context__
    return error


# PostgreSQL has no NUL in its texts; models and clients do. There it is written as SUB and a 0, and SUB as SUB and a 1.


class _Dumper(StrDumperUnknown):
    def dump(self, obj: str) -> Any:
        if "\0" in obj or "\x1a" in obj:
            obj = obj.replace("\x1a", "\x1a1").replace("\0", "\x1a0")
        return super().dump(obj)


class _Loader(TextLoader):
    def load(self, data: Any) -> Any:
        text = super().load(data)
        if isinstance(text, str) and "\x1a" in text:
            text = text.replace("\x1a0", "\0").replace("\x1a1", "\x1a")
        return text
