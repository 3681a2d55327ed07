"""`rants eval fidelity`: the runtime adds nothing to its models' mistakes, and where it does it is seen."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from evals import fidelity as measured
from evals.fidelity import fidelity
from evals.scripted import Reply
from evals.tasks import scripted_root

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail needs Linux")

SIZES = (("oolong", 1000), ("oolong-pairs", 1000))


async def test_the_runtime_adds_nothing_to_what_its_models_get_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    rows = await fidelity((0.0, 0.3), count=4, sizes=SIZES)
    assert [(row.benchmark, row.error_rate, row.same) for row in rows] == [
        ("oolong", 0.0, 4),
        ("oolong", 0.3, 4),
        ("oolong-pairs", 0.0, 4),
        ("oolong-pairs", 0.3, 4),
    ]
    for row in rows:
        assert row.scores == row.alone
        assert (sum(row.scores) == 4) is (row.error_rate == 0)
    told = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("oolong")]
    assert [(cells[0], cells[1], cells[-3], cells[-2]) for cells in told] == [
        (name, "1,000", "0.0", "4/4") for name in ("oolong", "oolong", "oolong-pairs", "oolong-pairs")
    ]


async def test_a_root_that_misses_lines_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(body: dict[str, Any]) -> Reply:
        reply = scripted_root(body)
        return replace(reply, pieces=[piece.replace("limit=10**9", "limit=10") for piece in reply.pieces])

    monkeypatch.setattr(measured, "scripted_root", hasty)
    (row,) = await fidelity((0.0,), count=3, seed=2, sizes=SIZES[1:])
    assert row.alone == [1.0, 1.0, 1.0]
    assert row.same < 3
    assert sum(row.scores) < 3
