"""Runs to keep, and a look into the database from outside."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from programs.events import Outcome, RunDone, StepDone
from programs.transcript import Message, ToolCall, ToolIntent, Transcript, Usage
from store import Finished, Run, Spent, StateSettings
from store.database import MIGRATIONS, connector, migrate

on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("settings", ["postgres"], indirect=True)


def said(*contents: str) -> Transcript:
    """A transcript of a system message and then user and assistant by turns."""
    roles = ("system", *("user", "assistant") * len(contents))
    pairs = zip(roles, contents, strict=False)
    return Transcript(messages=tuple(Message.model_validate({"role": role, "content": text}) for role, text in pairs))


def then(transcript: Transcript, *messages: Message) -> Transcript:
    return Transcript(messages=transcript.messages + messages)


def user(content: str) -> Message:
    return Message(role="user", content=content)


def assistant(content: str) -> Message:
    return Message(role="assistant", content=content)


def a_run(
    run_id: str,
    transcript: Transcript | None = None,
    *,
    tenant: str = "ada",
    created_at: float = 1000.0,
    background: bool = False,
    previous: str | None = None,
    session_key: str | None = None,
) -> Run:
    return Run(
        id=run_id,
        tenant=tenant,
        model="rants-one",
        created_at=created_at,
        request={"temperature": 0.5, "metadata": {"of": run_id}},
        transcript=said("Be brief.", "Hello") if transcript is None else transcript,
        background=background,
        previous=previous,
        session_key=session_key,
    )


def finished(
    *output: str, outcome: Outcome = "completed", completed_at: float = 1001.0, reason: str | None = None
) -> Finished:
    usage = Usage(prompt=30, completion=7, cached=20, estimated=True)
    text = "".join(output)
    return Finished(
        done=RunDone(outcome, text, usage, reason, reason and "It broke.", at=completed_at),
        seconds=1.5,
        output=tuple(assistant(content) for content in output),
        steps=(
            StepDone(
                session="resp_1",
                step=1,
                text=text,
                intents=(ToolIntent(text="read a", blocks={"A": "\n\u2028é"}),),
                calls=(ToolCall(id="call_1", name="read", arguments="{}"),),
                problem=None,
                finish_reason="stop",
                reason=None,
                usage=usage,
                at=1000.0,
                seconds=1.0,
            ),
        ),
        timeline=(3, 1, 4),
        models=(Spent("generator", calls=2, failed=1, seconds=0.75, prompt=30, completion=7, cached=20),),
    )


def look(where: Path | StateSettings, statement: str) -> list[tuple[Any, ...]]:
    if isinstance(where, StateSettings) and where.postgres is not None:
        assert where.url is not None
        with psycopg.connect(where.url.get_secret_value()) as connection:
            return connection.execute(statement.encode()).fetchall()
    path = where.file if isinstance(where, StateSettings) else where
    assert path is not None
    with closing(sqlite3.connect(path)) as file:
        return file.execute(statement).fetchall()


def count(where: Path | StateSettings) -> dict[str, int]:
    """How many rows each table has."""
    tables = ("message", "prefix", "session", "run", "usage")
    counts = (f"(SELECT count(*) FROM {table})" for table in tables)
    return dict(zip(tables, look(where, f"SELECT {', '.join(counts)}")[0], strict=True))


def from_before(settings: StateSettings, migration: str, *undo: str) -> None:
    """Take a migration back by hand, and migrate again: what was kept before it is brought up to date by it."""
    assert (MIGRATIONS / f"{migration}.py").is_file()
    database = connector(settings)
    for statement in (*undo, f"DELETE FROM schema_migration WHERE name = '{migration}'"):
        database.execute_sql(statement)  # type: ignore[no-untyped-call]
    database.close()
    migrate(settings)
