"""How many needles a model finds as the root of a recursive run, beside the same model that is shown what fits."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from evals.tasks.needle import CHARACTERS_PER_TOKEN, is_right, tasks
from evals.tasks.task import Task
from programs import RANTS, Backends, Sampling
from programs.settings import LoopSettings, ModelSettings, ModelsSettings

_GREEDY = {"parameters": {"temperature": 0, "max_tokens": 512}}
_FLAT_SHARE = 0.5  # of the window: the rest is for the reply, and for what a rough count of tokens misses


async def needles(
    models: Sequence[str],
    *,
    count: int,
    tokens: int,
    seed: int,
    distractors: Sequence[int] = (0, 8),
    flat: bool = True,
) -> None:
    """Measure and print a table.

    Args:
        models: of the embedded backend: names, or paths of `.gguf` files.
        count: tasks of each kind.
        tokens: how long each text is.
        seed: of the first task.
        distractors: how many other needles are in the texts; each number is a row.
        flat: whether the models are asked without RANTS too, which takes much longer.

    Raises:
        ConfigurationError: there is no such model.
    """
    table = Table(title=f"{count} needles, each in {tokens:,} tokens", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("model", "distractors", "flat call", "RANTS", "seconds a question, median"):
        table.add_column(name, justify="left" if name == "model" else "right")
    console = Console(stderr=True)
    for model in models:
        backends = Backends(ModelsSettings(generator=ModelSettings.model_validate({"model": model, **_GREEDY})))
        try:
            for others in distractors:
                with console.status("") as status:
                    asked = list(tasks(seed, count, tokens, others))
                    alone = recursive = 0
                    times = []
                    for number, task in enumerate(asked, 1):
                        alone += flat and is_right(task, await _flat(backends, task))
                        start = time.perf_counter()
                        recursive += is_right(task, await _recursive(backends, task))
                        times.append(time.perf_counter() - start)
                        status.update(f"{model}: flat {alone}, RANTS {recursive} of {number}")
                middle = sorted(times)[len(times) // 2]
                name = model.rpartition("/")[2]
                without = f"{alone}/{count}" if flat else "-"
                table.add_row(name, str(others), without, f"{recursive}/{count}", f"{middle:.1f}")
        finally:
            await backends.aclose()
    Console(width=110).print(table)


async def _recursive(backends: Backends, task: Task) -> str:
    rants = RANTS(backends, LoopSettings(max_iterations=5))
    return str((await rants.acall(question=task.question, context=task.context)).text)


async def _flat(backends: Backends, task: Task) -> str:
    """The model's answer when it is shown as much of the text, from its beginning, as it can read at once."""
    window = backends.window("generator") or 0
    shown = task.context[: int(window * _FLAT_SHARE * CHARACTERS_PER_TOKEN)]
    rants = RANTS(backends, LoopSettings(mode="direct"))
    said = await rants.acall(question=task.question, context=shown, sampling=Sampling(max_tokens=64))
    return str(said.text)
