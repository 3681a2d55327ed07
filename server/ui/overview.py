"""`/ui/overview`: what a tenant's runs have done and cost over time, or those of all tenants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from server.auth import Granted
from server.ui.charts import Axis, Chart, Series, bars, lines, swatch
from server.ui.rendering import duration, number, render, share
from server.ui.scope import Whose
from store import Spent, Store
from store.looking import Stretch

router = APIRouter()

type Name = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time up to now, in stretches of equal length.

    Attributes:
        stretches: how many.
        seconds: that each has.
        tick: at which stretches the axis has a label: at each whose beginning is a multiple of so many seconds.
        label: how that is written, for `strftime`.
    """

    stretches: int
    seconds: int
    tick: int
    label: str

    def ends(self, now: float) -> tuple[float, float]:
        """Where it begins, and where it ends: with the stretch that `now` is in."""
        until = (now // self.seconds + 1) * self.seconds
        return until - self.stretches * self.seconds, until


SPANS: Final[dict[Name, Span]] = {
    "hour": Span(30, 120, 600, "%H:%M"),
    "day": Span(48, 1800, 6 * 3600, "%H:%M"),
    "week": Span(56, 3 * 3600, 86_400, "%d %b"),
    "month": Span(30, 86_400, 7 * 86_400, "%d %b"),
}

_OUTCOMES = {"completed": "good", "incomplete": "early", "cancelled": "quiet", "failed": "bad"}
_COLOURS = 7


@router.get("/ui/overview")
async def overview(
    request: Request,
    whose: Whose,
    grant: Granted,
    span: Annotated[Name, Query()] = "day",
    tenant: Annotated[str | None, Query()] = None,
) -> HTMLResponse:
    """The page. Who may see all tenants sees them together, unless one is named."""
    everybody = grant.operator and not tenant
    store: Store = request.app.state.store
    chosen = SPANS[span]
    since, until = chosen.ends(time.time())
    stretches = await store.overview(None if everybody else whose, since, until, chosen.stretches)
    charts = await asyncio.to_thread(charts_of, stretches, chosen)
    return render(
        request,
        "overview.html",
        span=span,
        spans=list(SPANS),
        since=since,
        until=until,
        whose=None if everybody else whose,
        totals=totals(stretches),
        models=added(stretches),
        charts=charts,
        swatch=swatch,
    )


def totals(stretches: Sequence[Stretch]) -> list[tuple[str, str]]:
    """What all stretches have together, in words."""
    runs = _sum(stretches, lambda stretch: stretch.runs)
    spent = added(stretches)
    read, cached = sum(one.prompt for one in spent), sum(one.cached for one in spent)
    count = sum(runs.values())
    return [
        ("Runs", number(count)),
        ("Completed", share(runs.get("completed", 0), count)),
        ("Failed", number(runs.get("failed", 0))),
        ("Ended early", number(sum(_sum(stretches, lambda stretch: stretch.early).values()))),
        ("Calls of models", number(sum(one.calls for one in spent))),
        ("Tokens read", number(read)),
        ("of them cached", share(cached, read)),
        ("Tokens written", number(sum(one.completion for one in spent))),
    ]


def added(stretches: Iterable[Stretch]) -> list[Spent]:
    """What each role has cost in all stretches."""
    roles: dict[str, list[Spent]] = {}
    for stretch in stretches:
        for spent in stretch.models:
            roles.setdefault(spent.role, []).append(spent)
    return [
        Spent(
            role=role,
            calls=sum(one.calls for one in each),
            failed=sum(one.failed for one in each),
            seconds=sum(one.seconds for one in each),
            prompt=sum(one.prompt for one in each),
            completion=sum(one.completion for one in each),
            cached=sum(one.cached for one in each),
        )
        for role, each in sorted(roles.items())
    ]


def charts_of(stretches: Sequence[Stretch], span: Span) -> dict[str, list[Chart]]:
    """All plots: those of runs, and those of models by their roles."""
    axis = _axis(stretches, span)

    def each(value: Callable[[Stretch], float | None]) -> list[float | None]:
        return [value(stretch) for stretch in stretches]

    def spent(value: Callable[[Spent], float]) -> list[float | None]:
        return each(lambda stretch: sum(value(one) for one in stretch.models))

    def named(what: Callable[[Stretch], dict[str, int]]) -> list[Series]:
        names = sorted(_sum(stretches, what))
        return [Series(name, _colour(place), _counts(stretches, what, name)) for place, name in enumerate(names)]

    roles = [one.role for one in added(stretches)]

    def by_role(value: Callable[[Spent], float | None]) -> list[Series]:
        return [
            Series(role, _colour(place), [_of_role(stretch, role, value) for stretch in stretches])
            for place, role in enumerate(roles)
        ]

    outcomes = [
        Series(outcome, colour, _counts(stretches, lambda stretch: stretch.runs, outcome))
        for outcome, colour in _OUTCOMES.items()
    ]
    latency = [
        Series("median", "c0", each(lambda stretch: stretch.median)),
        Series("95 %", "c3", each(lambda stretch: stretch.slow)),
    ]
    tokens = [
        Series("read from the cache", "c2", spent(lambda one: one.cached)),
        Series("read anew", "c0", spent(lambda one: one.prompt - one.cached)),
        Series("written", "c3", spent(lambda one: one.completion)),
    ]
    cache = [
        Series(
            "cached",
            "c0",
            each(lambda stretch: _part(sum(m.cached for m in stretch.models), sum(m.prompt for m in stretch.models))),
        )
    ]
    return {
        "Runs": [
            bars("Runs by outcome", "Runs that ended", axis, outcomes, _short),
            lines("Latency", "Seconds from the beginning of a run to its end", axis, latency, _time),
            bars("Tokens", "Tokens of prompts and replies", axis, tokens, _short),
            lines("Cache share", "Part of the tokens read that was cached", axis, cache, _percent, most=1.0),
            bars("Early ends", "Runs that were cut, or gave their best so far", axis, named(lambda s: s.early), _short),
            bars("Errors", "Runs that failed, by the code of the error", axis, named(lambda s: s.errors), _short),
        ],
        "Models, by role": [
            bars("Calls", "Calls of models", axis, by_role(lambda one: one.calls), _short),
            bars("Failed calls", "Calls that did not answer", axis, by_role(lambda one: one.failed), _short),
            bars("Tokens of calls", "Read and written", axis, by_role(lambda one: one.prompt + one.completion), _short),
            lines(
                "Cache share of calls",
                "Part of the tokens read that was cached",
                axis,
                by_role(lambda one: _part(one.cached, one.prompt)),
                _percent,
                most=1.0,
            ),
            lines(
                "Time of a call",
                "Mean seconds of a call",
                axis,
                by_role(lambda one: one.seconds / one.calls if one.calls else None),
                _time,
            ),
        ],
    }


def _axis(stretches: Sequence[Stretch], span: Span) -> Axis:
    times = [datetime.fromtimestamp(stretch.at, UTC) for stretch in stretches]
    ticks = {
        place: f"{times[place]:{span.label}}" for place, stretch in enumerate(stretches) if stretch.at % span.tick == 0
    }
    return Axis([f"{when:%Y-%m-%d %H:%M}" for when in times], ticks)


def _of_role(stretch: Stretch, role: str, value: Callable[[Spent], float | None]) -> float | None:
    return next((value(one) for one in stretch.models if one.role == role), None)


def _counts(stretches: Iterable[Stretch], what: Callable[[Stretch], dict[str, int]], name: str) -> list[float | None]:
    return [what(stretch).get(name, 0) for stretch in stretches]


def _sum(stretches: Iterable[Stretch], what: Callable[[Stretch], dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stretch in stretches:
        for name, count in what(stretch).items():
            found[name] = found.get(name, 0) + count
    return found


def _part(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _colour(place: int) -> str:
    return f"c{place % _COLOURS}"


def _short(value: float) -> str:
    """A number in a few characters."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else "0 s"


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"
