from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from store import StateSettings, statements
from store.database import migrate

COMPILED = {name: value for name, value in vars(statements).items() if name.isupper() and isinstance(value, str)}


@pytest.mark.parametrize("statement", [*COMPILED.values(), statements.longest_prefix(5)], ids=[*COMPILED, "LONGEST"])
def test_a_statement_looks_up_what_it_needs_and_scans_nothing(
    settings: StateSettings, path: Path, statement: str
) -> None:
    migrate(settings)
    with closing(sqlite3.connect(path)) as connection:
        values: defaultdict[str, None] = defaultdict(lambda: None)
        plan = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    reads = [step for step in plan if step.startswith(("SCAN", "SEARCH")) and step != "SCAN upward"]
    for step in reads:
        assert re.search(r"tenant=\? AND \w+=\?|INDEX run_unfinished", step)
