"""What whoever looks into the store asks for, and is given. Times are in seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass

from store.runs import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sessions are looked for: those that fit all of it.

    Attributes:
        tenant: whose; None for those of all tenants.
        statuses: of the newest run; empty for any.
        text: part of a session's title, of its id, or of its client's name for it, whatever the case; empty for any.
        tokens: the fewest and the most tokens that its runs have cost together.
        seconds: the least and the most time that its runs have taken together.
        before: the last session of the page before, as its `updated_at` and its id; None for the first page.
        limit: at most so many.
    """

    tenant: str | None
    statuses: frozenset[Status] = frozenset()
    text: str = ""
    tokens: tuple[int, int | None] = (0, None)
    seconds: tuple[float, float | None] = (0.0, None)
    before: tuple[float, str] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Part:
    """One message of the transcript that a run was given, without what it says.

    Attributes:
        index: in the transcript, counted from 0.
        role: who speaks.
        size: of the message as it is kept, in bytes of JSON.
    """

    index: int
    role: str
    size: int


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of one message.

    Attributes:
        text: what is there, as it was said.
        at: where it begins, in bytes of the message as it is kept.
        end: where it ends.
        size: of the whole message.
    """

    text: str
    at: int
    end: int
    size: int


@dataclass(frozen=True, slots=True)
class Found:
    """Where a text is in a transcript.

    Attributes:
        index: of the message.
        at: in bytes of the message as it is kept.
    """

    index: int
    at: int


@dataclass(frozen=True, slots=True)
class Login:
    """A browser that has shown a key.

    Attributes:
        digest: SHA-256 of what its cookie holds, which itself is not kept.
        tenant: whose key it was.
        key: SHA-256 of the key.
        expires_at: when it has to show it again.
    """

    digest: str
    tenant: str
    key: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What the calls of one model have cost in a run, or in a stretch of time.

    Attributes:
        role: who was asked: see `programs.backends.Role`.
        calls: how many times.
        failed: how many of these did not answer.
        seconds: of all calls together.
        prompt: tokens that were read.
        completion: tokens that were written.
        cached: of those read, how many the backend knew already.
    """

    role: str
    calls: int
    failed: int
    seconds: float
    prompt: int
    completion: int
    cached: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened in one stretch of time.

    Attributes:
        at: when it begins.
        runs: how many ended in it, by outcome.
        early: runs that answered, but had to end early, by the reason: a part of the budget, or another.
        errors: runs that have failed, by the error's code.
        median: seconds that half of its runs have taken at most; None where there was none.
        slow: seconds that nineteen of twenty have taken at most.
        models: what each role has cost.
    """

    at: float
    runs: dict[str, int]
    early: dict[str, int]
    errors: dict[str, int]
    median: float | None
    slow: float | None
    models: tuple[Spent, ...]
