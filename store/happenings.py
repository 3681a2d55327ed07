"""What runs did with their contexts, event by event, and each of these at a glance: as jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, TypeAdapter

from programs.events import Trajectory
from programs.glance import Glance, glance
from store import leases, statements
from store.database import Database
from store.statements import Values, each, row, rows

_EVENT: TypeAdapter[Trajectory] = TypeAdapter(Annotated[Trajectory, Field(discriminator="kind")])
_GLANCE = TypeAdapter(Glance)
_GLANCES = TypeAdapter(list[Glance])


def happened(db: Database, tenant: str, run_id: str, number: int, events: Sequence[Trajectory], *, worker: str) -> None:
    """Add what a run did with its context, from event `number` on. Of a run that is gone nothing is kept."""
    found = row(db, statements.OWNER, {"tenant": tenant, "id": run_id})
    if found is None:
        return
    leases.own(found, worker, run_id)
    bodies: list[Values] = []
    glances: list[Values] = []
    for index, event in enumerate(events, number):
        place: Values = {"tenant": tenant, "run": run_id, "number": index}
        bodies.append(place | {"body": _EVENT.dump_json(event).decode()})
        glances.append(place | {"body": seen(index, event)})
    each(db, statements.ADD_EVENT, bodies)
    each(db, statements.ADD_GLANCE, glances)


def seen(number: int, event: Trajectory) -> str:
    """Event `number` of a run at a glance, as it is kept."""
    return _GLANCE.dump_json(glance(number, event)).decode()


def trajectory(db: Database, tenant: str, run_id: str) -> list[Trajectory]:
    """Read what a run did with its context, in order."""
    return [_EVENT.validate_json(body) for (body,) in rows(db, statements.EVENTS, {"tenant": tenant, "id": run_id})]


def one(db: Database, tenant: str, run_id: str, number: int) -> Trajectory | None:
    """Read one event of it."""
    found = row(db, statements.EVENT, {"tenant": tenant, "id": run_id, "number": number})
    return _EVENT.validate_json(found[0]) if found else None


def glances(db: Database, tenant: str, run_id: str, after: int, limit: int) -> list[Glance]:
    """Read it at a glance, in order: at most `limit` events that come after event `after`."""
    found = rows(db, statements.GLANCES, {"tenant": tenant, "id": run_id, "after": after, "limit": limit})
    return _GLANCES.validate_json(f"[{','.join(body for (body,) in found)}]")
