"""Which process drives which run. It holds a lease: it beats, and when it does not for long others take its runs over.

Nothing of a run is written by a process that does not own it any more: `own` sees to that in the transaction of each
write, and until that ends nobody can take the run over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from programs.errors import LeaseLost
from store import statements
from store.database import Database
from store.processes import has_ended
from store.statements import Found, row, rows

type RunKey = tuple[str, str]
"""A tenant, and the id of a run of it."""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker learns when it says that it lives.

    Attributes:
        owned: its runs that have not ended.
        cancelled: those of them that somebody has asked to cancel.
    """

    owned: frozenset[RunKey]
    cancelled: frozenset[RunKey]


def beat(db: Database, worker: str, process: str) -> Beat:
    """Say that the worker lives."""
    rows(db, statements.BEAT, {"worker": worker, "process": process})
    owned = rows(db, statements.OWNED_RUNS, {"worker": worker})
    keys = [(tenant, run_id) for tenant, run_id, _ in owned]
    return Beat(frozenset(keys), frozenset(key for key, (*_, asked) in zip(keys, owned, strict=True) if asked))


def known(db: Database, worker: str, process: str) -> None:
    """See that the worker is known before it owns a run: it may have been given up for dead."""
    if row(db, statements.WORKER, {"worker": worker}) is None:
        beat(db, worker, process)


def own(found: Found | None, worker: str, run_id: str) -> None:
    """See that a run that is there, with its owner as the last column, is the worker's.

    Raises:
        LeaseLost: it is another's.
    """
    if found is not None and found[-1] not in (None, worker):
        raise LeaseLost(f"Another process has taken over {run_id!r}: read it by its id.")


def take_over(db: Database, worker: str, silent_for: float) -> Sequence[Found]:
    """Claim the runs that no living worker owns; gives them as `statements.STORED` lists their columns."""
    db.one_at_a_time("take over")
    for other, process, seen_at, silent in rows(db, statements.WORKERS, {}):
        if other != worker and (silent > silent_for or has_ended(process)):
            # Unless it has beaten since.
            rows(db, statements.DROP_SILENT_WORKER, {"worker": other, "seen_at": seen_at})
    return rows(db, statements.CLAIM_RUNS, {"worker": worker})


def ask_to_cancel(db: Database, tenant: str, run_id: str) -> bool:
    """Mark a run; False where it has ended or is gone."""
    return row(db, statements.ASK_TO_CANCEL, {"tenant": tenant, "id": run_id}) is not None


def leave(db: Database, worker: str) -> None:
    """Say that the worker ends."""
    rows(db, statements.DROP_WORKER, {"worker": worker})
