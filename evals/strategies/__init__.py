"""The strategies of `rants eval`, by name: ways to have the same model answer a question about a text."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from evals.strategies import bm25, compaction, dspy_rlm, flat, rants, rlms, truncation
from evals.strategies.strategy import Answer, Said, Strategy
from programs.errors import ConfigurationError
from programs.program import read_program

__all__ = ["STRATEGIES", "Said", "Strategy", "strategy_of"]

_RANTS: Mapping[str, Callable[[Path | None], Answer]] = {
    "direct": rants.direct,
    "explore-1": partial(rants.explore, 1),
    "explore-2": partial(rants.explore, 2),
    "explore-3": partial(rants.explore, 3),
}
_WITH = "@"

STRATEGIES: Mapping[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        Strategy("flat", "the whole text in one call; fails where it does not fit", flat.answer),
        Strategy("truncation", "the middle is cut out so that it fits; one call", truncation.answer),
        Strategy("bm25", "the passages that BM25 ranks best, until the window is full; one call", bm25.answer),
        Strategy("compaction", "reads piece by piece into notes, and answers from those", compaction.answer),
        Strategy("dspy-rlm", "dspy.RLM, in our jail; its depth is 1", dspy_rlm.answer),
        Strategy("rlms", "the paper's own code, without a sandbox, run by uv; its depth is 1", rlms.answer),
        Strategy("direct", "RANTS, mode direct", rants.direct()),
        Strategy("explore-1", "RANTS, mode explore: the root's code calls the sub-LM", rants.explore(1)),
        Strategy("explore-2", "RANTS, mode explore: it also opens sessions below", rants.explore(2)),
        Strategy("explore-3", "RANTS, mode explore: and those open sessions, too", rants.explore(3)),
    )
}


def strategy_of(name: str) -> Strategy:
    """The strategy of a name; `explore-1@FILE`, and so on, is RANTS with a saved program of `rants optimize`.

    Raises:
        ConfigurationError: there is no such strategy or file, or it takes no program.
    """
    known, with_program, file = name.partition(_WITH)
    strategy = STRATEGIES.get(known)
    if strategy is None:
        raise ConfigurationError(f"no such strategy: {known}. There is {', '.join(STRATEGIES)}")
    if not with_program:
        return strategy
    if known not in _RANTS:
        raise ConfigurationError(f"{name}: only RANTS has programs: {', '.join(_RANTS)}")
    program = Path(file)
    read_program(program)
    return Strategy(name, f"{strategy.what}, with the program {program.name}", _RANTS[known](program))
