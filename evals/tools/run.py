"""`rants eval tools`: each case is compiled by RANTS, and called by the same model by itself, side by side."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console

from evals.ledger import Ledger
from evals.tools.cases import Case, Half, choose, read
from evals.tools.own import Own
from evals.tools.results import Outcome, Result
from evals.tools.table import paired, table_of
from programs import RANTS, Backends
from programs.settings import ModelsSettings, ResilienceSettings
from programs.transcript import ToolCall

type Ask = Callable[[Case], Awaitable[tuple[list[ToolCall], str]]]


async def tools(
    cases: Path,
    models: ModelsSettings,
    resilience: ResilienceSettings | None = None,
    *,
    seed: int = 0,
    count: int | None = None,
    categories: Sequence[str] = (),
    half: Half | None = None,
    own: bool = True,
    out: Path | None = None,
    program: Path | None = None,
) -> None:
    """Measure and print a table.

    Args:
        cases: a file of them.
        models: `tool_compiler` is asked, or else the generator.
        resilience: time-outs of a backend over HTTP.
        seed: chooses the cases.
        count: at most so many cases.
        categories: only cases of these; by default of all.
        half: only one half of the cases.
        own: whether the model is also asked without RANTS.
        out: a folder for the results, case by case. Cases that are in it already, for the same model, are not asked
            again.
        program: of `rants optimize`; by default the compiler as it is.

    Raises:
        ConfigurationError: there is no such file, category, model, folder or program.
        BackendError: the model fails.
    """
    chosen = choose(read(cases), seed=seed, count=count, categories=categories, half=half)
    results = Ledger(out, Result, lambda result: (result.model, result.id))
    entry = models.tool_compiler or models.generator
    model = entry.model or "the first it lists"
    backends = Backends(models, resilience)
    compiler = RANTS(backends, program=program).tool_compiler
    if program is not None:
        model = f"{model} with {program.name}"
    alone = Own(backends.lm("tool_compiler"))

    async def compiled(case: Case) -> tuple[list[ToolCall], str]:
        prediction = await compiler.aforward(intent=case.intent, tools=case.tools)
        return list(prediction.calls), prediction.problem or ""

    async def by_itself(case: Case) -> tuple[list[ToolCall], str]:
        return await alone.ask(case.intent, case.tools)

    done: list[Result] = []
    console = Console(stderr=True)
    try:
        await backends.warm()
        with console.status("") as status:
            for case in chosen:
                result = results.find((model, case.id))
                if result is None or (own and result.own is None):
                    result = Result(
                        id=case.id,
                        model=model,
                        category=case.category,
                        intent=case.intent,
                        gold=tuple(wanted.model_dump() for wanted in case.gold),
                        rants=await _judged(case, compiled),
                        own=await _judged(case, by_itself) if own else None,
                    )
                    results.add(result)
                done.append(result)
                status.update(_progress(done, len(chosen)))
    finally:
        await backends.aclose()
    printed = Console(width=110)
    printed.print(table_of(done, f"{len(done)} cases of {cases.name}, {model.rpartition('/')[2]}"))
    if own:
        printed.print(paired(done))


async def _judged(case: Case, ask: Ask) -> Outcome:
    start = time.perf_counter()
    calls, said = await ask(case)
    return Outcome.judged(case, calls, said, time.perf_counter() - start)


def _progress(done: Sequence[Result], count: int) -> str:
    rants = sum(result.rants.right for result in done)
    own = sum(result.own is not None and result.own.right for result in done)
    alone = f", by itself {own}" if done[-1].own else ""
    return f"{len(done)} of {count} cases; right: RANTS {rants}{alone}"
