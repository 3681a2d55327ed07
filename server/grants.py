"""What a key allows."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL = "local"
"""The tenant of everybody, while authentication is off."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the key of a request allows. None allows everything.

    Attributes:
        key: the key's public id, by which it is named in logs and rows; never the key itself.
        tenant: who it belongs to.
        models: the names that may stand in `model`.
        tools: the gateway tools that may be asked for.
        calls_per_day: requests that may start a run, from midnight to midnight UTC.
        tokens_per_day: of prompts and replies together, likewise.
        expires_at: when it ends, in seconds since the epoch.
        operator: on `/ui` it sees the sessions of all tenants.
    """

    key: str
    tenant: str
    models: frozenset[str] | None = None
    tools: frozenset[str] | None = None
    calls_per_day: int | None = None
    tokens_per_day: int | None = None
    expires_at: float | None = None
    operator: bool = False


EVERYBODY = Grant(key=LOCAL, tenant=LOCAL)
"""The grant of everybody, while authentication is off."""
