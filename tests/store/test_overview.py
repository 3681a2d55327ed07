"""What happened over time, as it is counted by the database."""

from __future__ import annotations

from dataclasses import replace

from programs.events import Outcome
from store import Finished, Spent, StateSettings, Store, Stretch
from tests.store.samples import a_run, finished, from_before

COSTS = Spent("generator", calls=2, failed=1, seconds=0.75, prompt=30, completion=7, cached=20)


def ended(
    at: float, seconds: float = 1.0, outcome: Outcome = "completed", reason: str | None = None, *models: Spent
) -> Finished:
    return replace(finished(outcome=outcome, completed_at=at, reason=reason), seconds=seconds, models=models)


async def spend(store: Store, *all_of_them: Finished, tenant: str = "ada") -> None:
    for number, each in enumerate(all_of_them):
        await store.spent(tenant, f"run-{number}", each)


async def test_every_stretch_is_told_also_where_nothing_happened(store: Store) -> None:
    await spend(store, ended(99.9), ended(100.0), ended(149.9), ended(150.0), ended(200.0))
    await spend(store, ended(120.0, outcome="cancelled"), tenant="bob")
    mine = await store.overview("ada", 100.0, 200.0, 4)
    assert [stretch.at for stretch in mine] == [100.0, 125.0, 150.0, 175.0]
    assert [stretch.runs for stretch in mine] == [{"completed": 1}, {"completed": 1}, {"completed": 1}, {}]
    assert mine[3] == Stretch(175.0, {}, {}, {}, None, None, ())
    everybodys = await store.overview(None, 100.0, 200.0, 4)
    assert everybodys[0].runs == {"completed": 1, "cancelled": 1}


async def test_early_ends_and_errors_are_told_apart(store: Store) -> None:
    await spend(
        store,
        ended(1.0, 1.0, "failed", "backend_timeout"),
        ended(1.0, 1.0, "failed", "backend_timeout"),
        ended(1.0, 1.0, "incomplete", "budget_tokens"),
        ended(1.0, 1.0, "completed", "budget_tokens"),
        ended(1.0, 1.0, "incomplete", "max_output_tokens"),
    )
    (all_of_it,) = await store.overview("ada", 0.0, 2.0, 1)
    assert all_of_it.runs == {"failed": 2, "incomplete": 2, "completed": 1}
    assert all_of_it.errors == {"backend_timeout": 2}
    assert all_of_it.early == {"budget_tokens": 2, "max_output_tokens": 1}


async def test_half_of_the_runs_and_nineteen_of_twenty_take_at_most_so_long(store: Store) -> None:
    await spend(store, *(ended(1.0, float(seconds)) for seconds in range(40, 0, -1)), ended(3.0, 7.0), ended(3.5, 5.0))
    many, none, two = await store.overview("ada", 0.0, 4.5, 3)
    assert (many.median, many.slow) == (20.0, 38.0)
    assert (none.median, none.slow) == (None, None)
    assert (two.median, two.slow) == (5.0, 7.0)


async def test_what_each_role_has_cost_is_added_up(store: Store) -> None:
    sub = replace(COSTS, role="sub_lm", calls=9)
    await spend(store, ended(1.0, 1.0, "completed", None, COSTS, sub), ended(1.5, 1.0, "completed", None, COSTS))
    await store.record(a_run("kept"), replace(finished("Hi.", completed_at=1.2), models=(COSTS,)))
    await store.delete("ada", "kept")
    (all_of_it,) = await store.overview("ada", 0.0, 2.0, 1)
    assert all_of_it.models == (Spent("generator", 6, 3, 2.25, 90, 21, 60), sub)


async def test_the_reasons_of_before_are_those_of_the_runs_that_are_left(settings: StateSettings) -> None:
    async with await Store.open(settings) as store:
        for name in ("kept", "dropped"):
            await store.record(a_run(name), finished("No.", outcome="failed", completed_at=1.0, reason=name))
        await store.delete("ada", "dropped")
    undone = ("DROP TABLE spent", "DROP INDEX usage_tenant_created_at", "ALTER TABLE usage DROP COLUMN reason")
    from_before(settings, "0012_spent", *undone)
    async with await Store.open(settings) as store:
        (all_of_it,) = await store.overview("ada", 0.0, 2.0, 1)
    assert all_of_it.errors == {"kept": 1}
