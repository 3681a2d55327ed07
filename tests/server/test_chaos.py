"""Gateways on one PostgreSQL that are killed while they serve. `rants bench chaos` does it for longer."""

from __future__ import annotations

import pytest

from evals.performance.chaos import killing


@pytest.mark.slow
async def test_what_was_acknowledged_is_neither_lost_nor_done_twice(postgres_url: str) -> None:
    outcome = await killing(postgres_url, seconds=40, every=3.0)
    assert outcome.kills >= 2
    assert outcome.acknowledged
    assert outcome.promised
    assert outcome.lost == []
    assert outcome.wrong == {}
    assert outcome.twice == []
