"""Results as a run would leave them, from a seed: for tests, and to look at (`python -m tests.evals.some_results`)."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path

from evals.results import Cell, Result

CELL = Cell(benchmark="niah", tokens=8192, strategy="rants", model="small", seed=0)
LENGTHS = (8192, 32768, 131072, 524288, 1048576)
_SHAPES = {  # how good a strategy is, how fast it gets worse, the tokens it reads for one of context, seconds
    "direct": (0.9, 0.9, 1.05, 3.0),
    "truncate": (0.85, 0.25, 1.0, 3.0),
    "rants": (0.88, 0.04, 0.4, 12.0),
    "dspy-rlm": (0.74, 0.08, 0.7, 25.0),
}
_CODE = "```python\nhits = grep(r'access code')\nprint(len(hits))\n```\n"


def result(cell: Cell = CELL, **changes: object) -> Result:
    """A result with hand-worked numbers; `changes` are to it, or to its cell."""
    ours = {name: value for name, value in changes.items() if name in Cell.model_fields}
    values = {
        "score": 1.0,
        "right": changes.get("score", 1.0) == 1.0,
        "floor": 0.0,
        "question": "Who?",
        "answer": "Ada",
        "reply": "Ada",
        "prompt": 1000,
        "completion": 10,
        "cached": 0,
        "model_calls": 1,
        "seconds": 2.0,
        **{name: value for name, value in changes.items() if name not in ours},
    }
    return Result.model_validate({"cell": cell.model_copy(update=ours), **values})


def keep(folder: Path, results: Iterable[Result], settings: object = None) -> Path:
    """Lay results into a folder as a run does."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text("".join(f"{one.model_dump_json()}\n" for one in results), "utf-8")
    if settings is not None:
        (folder / "settings.json").write_text(json.dumps(settings), "utf-8")
    return folder


def realistic(folder: Path, seed: int = 1, tasks: int = 12) -> Path:
    """A folder of a whole run: two benchmarks, five lengths, four strategies; with failures, and traces."""
    (folder / "traces").mkdir(parents=True, exist_ok=True)
    cells = [
        Cell(benchmark=benchmark, tokens=tokens, strategy=strategy, model="qwen2.5-coder-1.5b", seed=number)
        for benchmark in ("s-niah", "oolong")
        for tokens in LENGTHS
        for strategy in _SHAPES
        for number in range(tasks)
    ]
    dice = random.Random(seed)
    settings = {
        "benchmarks": ["s-niah", "oolong"],
        "lengths": LENGTHS,
        "tasks": tasks,
        "models": {"generator": {"provider": "openai", "model": "qwen2.5-coder-1.5b", "context_window": 32768}},
        "budget": {"seconds": 480.0, "model_calls": 2000, "tokens": 20_000_000},
        "data": None,
    }
    return keep(folder, [_made_up(dice, cell, folder) for cell in cells], settings)


def _made_up(dice: random.Random, cell: Cell, folder: Path) -> Result:
    good, worse, reads, seconds = _SHAPES[cell.strategy]
    times = cell.tokens / 8192
    code = str(dice.randrange(10**6))
    common = {
        "question": f"What is the access code of the {dice.choice(['patient', 'red', 'old'])} chapel?",
        "answer": code,
        "floor": 0.0 if cell.benchmark == "s-niah" else 0.167,
    }
    if cell.strategy == "direct" and cell.tokens > 32768:
        said = f"the conversation has about {cell.tokens:,} tokens, and the window 32,768"
        failed = {"score": 0.0, "reply": "", "failure": "ContextTooLong", "said": said, "seconds": 0.1}
        return result(cell, **common, **failed, prompt=0, completion=0, model_calls=0)
    trace = None
    if cell.strategy in ("rants", "dspy-rlm"):
        trace = Path("traces") / f"{cell.benchmark}-{cell.tokens}-{cell.strategy}-{cell.seed}.txt"
        turns = dice.choice([3, 6, 400]) if cell.seed % 5 == 0 else 4
        (folder / trace).write_text(f"root LM: {common['question']}\n" + (_CODE + "= 3\n") * turns, "utf-8")
    worth = good * times ** -(worse if cell.benchmark == "s-niah" else worse + 0.1)
    score = float(dice.random() < worth) if cell.benchmark == "s-niah" else round(0.75 ** dice.randrange(9), 4) * worth
    late = cell.strategy == "dspy-rlm" and dice.random() < 0.1
    read = min(cell.tokens, 32768) if cell.strategy == "truncate" else cell.tokens
    return result(
        cell,
        **common,
        score=0.0 if late else score,
        right=not late and score > 0.99,
        reply="" if late else code if score > 0.99 else f"I think that it is {dice.randrange(10**6)}.",
        prompt=round(read * reads * dice.uniform(0.8, 1.2)),
        completion=dice.randrange(20, 900),
        model_calls=1 if trace is None else round(3 + times**0.7 * dice.uniform(0.5, 1.5)),
        seconds=seconds * times**0.5 * dice.uniform(0.7, 1.4),
        stopped_by="budget_model_calls" if not late and trace and dice.random() < 0.05 else None,
        failure="seconds" if late else None,
        said="no answer within 480 seconds" if late else None,
        trace=trace,
    )


if __name__ == "__main__":
    sys.stdout.write(f"{realistic(Path(sys.argv[1]))}\n")
