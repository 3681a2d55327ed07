"""The strategies of `rants eval`, by name: ways to have the same model answer a question about a text."""

from collections.abc import Mapping

from evals.strategies import bm25, compaction, dspy_rlm, flat, rants, rlms, truncation
from evals.strategies.strategy import Said, Strategy

__all__ = ["STRATEGIES", "Said", "Strategy"]

STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("flat", "the whole text in one call; fails where it does not fit", flat.answer),
        Strategy("truncation", "the middle is cut out so that it fits; one call", truncation.answer),
        Strategy("bm25", "the passages that BM25 ranks best, until the window is full; one call", bm25.answer),
        Strategy("compaction", "reads piece by piece into notes, and answers from those", compaction.answer),
        Strategy("dspy-rlm", "dspy.RLM, in our jail; its depth is 1", dspy_rlm.answer),
        Strategy("rlms", "the paper's own code, without a sandbox, run by uv; its depth is 1", rlms.answer),
        Strategy("direct", "RANTS, mode direct", rants.direct),
        Strategy("explore-1", "RANTS, mode explore: the root's code calls the sub-LM", rants.explore(1)),
        Strategy("explore-2", "RANTS, mode explore: it also opens sessions below", rants.explore(2)),
        Strategy("explore-3", "RANTS, mode explore: and those open sessions, too", rants.explore(3)),
    )
}
