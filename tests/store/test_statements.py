from __future__ import annotations

import re
from collections import defaultdict

import psycopg
import pytest

from store import StateSettings, statements
from store.database import migrate
from store.statements import Statement
from tests.store.samples import look, on_postgres, on_sqlite

COMPILED = {name: value for name, value in vars(statements).items() if isinstance(value, Statement)}
EACH = pytest.mark.parametrize(
    "statement", [*COMPILED.values(), statements.longest_prefix(5)], ids=[*COMPILED, "LONGEST"]
)
WHOLE = {statements.WORKERS}
"""They read all the rows of a table that has few."""


@on_sqlite
@EACH
def test_a_statement_looks_up_what_it_needs_and_scans_nothing(settings: StateSettings, statement: Statement) -> None:
    migrate(settings)
    plan = [step for *_, step in look(settings, "EXPLAIN QUERY PLAN " + re.sub(r":\w+", "NULL", statement.sqlite))]
    reads = [step for step in plan if step.startswith(("SCAN", "SEARCH")) and step != "SCAN upward"]
    for step in reads:
        assert (
            re.search(r"tenant=\? AND \w+=\?|INDEX run_(unfinished|completed_at)|PRIMARY KEY \(id=\?\)", step)
            or statement in WHOLE
        )


@on_postgres
def test_postgres_has_an_index_for_every_statement(settings: StateSettings) -> None:
    assert settings.url is not None
    values: defaultdict[str, str] = defaultdict(lambda: "1")  # which is of any type
    with psycopg.connect(settings.url.get_secret_value()) as connection:
        connection.execute("SET enable_seqscan = off")
        for name, statement in COMPILED.items():
            plan = connection.execute(f"EXPLAIN {statement.postgres}".encode(), values).fetchall()
            assert statement in WHOLE or not [step for (step,) in plan if "Seq Scan" in step], name
