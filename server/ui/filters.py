"""What the list of sessions is asked for in the query of its URL."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, get_args

from programs.events import Outcome
from store.looking import Wanted
from store.runs import Status, StoredSession

STATUSES: Final[tuple[Status, ...]] = ("queued", "in_progress", *get_args(Outcome))

_MANY = 10**15  # more tokens or seconds than this nobody has spent
_LONGEST_TEXT = 500


class Filters:
    """A query as it was typed, what it asks for, and what is wrong with it.

    Args:
        query: of the URL: `status`, `text`, `tokens_from`, `tokens_to`, `seconds_from`, `seconds_to`, `before`.
        tenant: whose sessions are listed; None for those of all tenants.
        limit: of one page.

    Attributes:
        typed: the query's values, for the form.
        problems: sentences, each about a value that cannot be used.
        wanted: what is asked for; values that cannot be used ask for nothing.
    """

    def __init__(self, query: Mapping[str, str], tenant: str | None, limit: int) -> None:
        self.typed = {name: query.get(name, "").replace("\0", "").strip() for name in _NAMES}
        self.problems: list[str] = []
        self.wanted = Wanted(
            tenant=tenant,
            statuses=self._statuses(),
            text=self.typed["text"][:_LONGEST_TEXT],
            tokens=(self._number("tokens_from", int) or 0, self._number("tokens_to", int)),
            seconds=(self._number("seconds_from", float) or 0.0, self._number("seconds_to", float)),
            before=self._before(),
            limit=limit,
        )

    @property
    def chosen(self) -> dict[str, str]:
        """What there is of filters, without the place in the list."""
        return {name: value for name, value in self.typed.items() if value and name != "before"}

    def _statuses(self) -> frozenset[Status]:
        typed = self.typed["status"]
        found = frozenset(status for status in STATUSES if status == typed)
        if typed and not found:
            self.problems.append(f"There is no state {typed!r}; there are {', '.join(STATUSES)}.")
        return found

    def _number[N: (int, float)](self, name: str, kind: Callable[[str], N]) -> N | None:
        if not (typed := self.typed[name]):
            return None
        try:
            number = kind(typed)
        except ValueError:
            number = kind("-1")
        if not 0 <= number <= _MANY:
            what = "a whole number" if kind is int else "a number"
            self.problems.append(f"{_NAMES[name]}: {typed!r} is not {what} from 0 on.")
            return None
        return number

    def _before(self) -> tuple[float, str] | None:
        if not (typed := self.typed["before"]):
            return None
        at, _, session = typed.partition(":")
        try:
            when = float(at)
        except ValueError:
            when = math.nan
        if not (math.isfinite(when) and session):
            self.problems.append("The place in the list (before) is not one that a link of this page names.")
            return None
        return when, session


_NAMES: Final = {
    "status": "State",
    "text": "Text",
    "tokens_from": "Tokens from",
    "tokens_to": "Tokens to",
    "seconds_from": "Seconds from",
    "seconds_to": "Seconds to",
    "before": "Before",
}


def after(session: StoredSession) -> str:
    """The place in the list behind a session, as `before` of the next page names it."""
    return f"{session.updated_at!r}:{session.id}"
