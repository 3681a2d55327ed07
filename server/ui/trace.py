"""What a run did, event by event, as its page asks for it."""

from __future__ import annotations

from programs.events import StepDone, Trajectory
from programs.glance import Glance, glance
from store import Store, StoredRun


async def glances(store: Store, run: StoredRun, after: int, limit: int) -> tuple[list[Glance], bool]:
    """What followed event `after`, at most `limit` events, and whether there are more.

    The last step of a run is kept with the run's end. It comes after all other events.
    """
    # The one before tells where the last step belongs.
    found = await store.glances(run.tenant, run.id, max(after - 1, -1), limit + 2)
    before = [one for one in found if one.number <= after]
    new = [one for one in found if one.number > after]
    if len(new) > limit:
        return new[:limit], True
    last = new[-1] if new else before[-1] if before else None
    known = last is not None and last.number >= after
    if (known or after < 0) and (step := _last_step(run, last)) is not None:
        new.append(glance(last.number + 1 if last else 0, step))
    return new, False


async def happening(store: Store, run: StoredRun, number: int) -> Trajectory | None:
    """Event `number` of a run; None where there is none."""
    if (found := await store.happening(run.tenant, run.id, number)) is not None:
        return found
    before = await store.happening(run.tenant, run.id, number - 1) if number > 0 else None
    return _last_step(run, before) if before is not None or number == 0 else None


def _last_step(run: StoredRun, last: Glance | Trajectory | None) -> StepDone | None:
    """The step that ended the run, where it is not among the events, of which `last` is the last one.

    It is, where the next step had begun: to explore.
    """
    step = run.steps[-1] if run.steps else None
    if not isinstance(step, StepDone):
        return None
    went_on = last is not None and last.session.removeprefix(run.id).partition("/")[0] == f"+{step.step + 1}"
    return None if went_on else step
