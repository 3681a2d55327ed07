"""What happened in a stretch of time, and in the next: as a job, for readers alone. The database counts."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import peewee as pw
from peewee import fn

from store.database import Database
from store.looking import Spent, Stretch
from store.postgres import Postgres
from store.tables import SPENT, spent, usage


def overview(db: Database, tenant: str | None, since: float, until: float, stretches: int) -> list[Stretch]:
    """Divide a time into equal stretches, and tell of each.

    Args:
        db: where it was written down.
        tenant: whose runs; None for those of all tenants.
        since: where it begins.
        until: where it ends; what happened then is not in it.
        stretches: how many.
    """
    width = (until - since) / stretches

    def of(table: Any) -> tuple[Any, list[Any]]:
        # In which stretch a row is, and which rows there are.
        place = (table.created_at - since) / width
        # Where PostgreSQL has no part of a number, it takes the nearest one. At the very end there is no next stretch.
        whole = pw.Cast(fn.FLOOR(place) if isinstance(db, Postgres) else place, "INTEGER")
        number = pw.Case(None, ((whole >= stretches, stretches - 1),), whole)
        within = [table.created_at >= since, table.created_at < until]
        return number.alias("stretch"), [*within, *([table.tenant == tenant] if tenant is not None else [])]

    runs: list[dict[str, int]] = [defaultdict(int) for _ in range(stretches)]
    early: list[dict[str, int]] = [defaultdict(int) for _ in range(stretches)]
    errors: list[dict[str, int]] = [defaultdict(int) for _ in range(stretches)]
    at, where = of(usage)
    counted = usage.select(at, usage.outcome, usage.reason, fn.COUNT(usage.run)).where(*where)
    for stretch, outcome, reason, count in _found(db, counted.group_by(pw.SQL("1"), usage.outcome, usage.reason)):
        runs[stretch][outcome] += count
        if reason is not None:
            (errors if outcome == "failed" else early)[stretch][reason] += count

    models: list[list[Spent]] = [[] for _ in range(stretches)]
    at, where = of(spent)
    sums = (fn.SUM(getattr(spent, name)) for name in SPENT[1:])
    by_role = spent.select(at, spent.role, *sums).where(*where).group_by(pw.SQL("1"), spent.role).order_by(spent.role)
    for stretch, role, calls, failed, seconds, *tokens in _found(db, by_role):
        models[stretch].append(Spent(role, calls, failed, seconds, *map(int, tokens)))

    took = _took(db, *of(usage))
    return [
        Stretch(
            at=since + number * width,
            runs=dict(runs[number]),
            early=dict(early[number]),
            errors=dict(errors[number]),
            median=took.get((number, False)),
            slow=took.get((number, True)),
            models=tuple(models[number]),
        )
        for number in range(stretches)
    ]


def _took(db: Database, at: Any, where: list[Any]) -> dict[tuple[int, bool], float]:
    """The seconds that half of the runs of each stretch have taken at most (False), and nineteen of twenty (True)."""
    each = usage.select(at, usage.seconds).where(*where).alias("each")
    within = {"partition_by": [each.c.stretch]}
    place = fn.ROW_NUMBER().over(**within, order_by=[each.c.seconds]).alias("place")
    runs = fn.COUNT(pw.SQL("1")).over(**within).alias("runs")
    ranked = pw.Select([each], [each.c.stretch, each.c.seconds, place, runs]).alias("ranked")
    half, most = (ranked.c.runs + 1) / 2, (19 * ranked.c.runs + 19) / 20
    chosen = pw.Select([ranked], [ranked.c.stretch, ranked.c.seconds, ranked.c.place == half, ranked.c.place == most])
    took: dict[tuple[int, bool], float] = {}
    for stretch, seconds, is_half, is_most in _found(db, chosen.where(ranked.c.place.in_((half, most)))):
        took |= {(stretch, slow): seconds for slow, so in ((False, is_half), (True, is_most)) if so}
    return took


def _found(db: Database, query: Any) -> list[tuple[Any, ...]]:
    return list(query.tuples().execute(db))
