"""How many small tasks opencode gets done with a local model: through RANTS, and by the model's own tool calling."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from evals.opencode import TASKS, OpenCode, OpenCodeFailed, Session, Task
from evals.performance.processes import Server
from evals.serving import WAYS, serving

_OUTPUT = 1024  # tokens of one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a task.

    Attributes:
        model: the weights' file name.
        way: one of the two.
        task: its name.
        done: whether the files and the answer are right.
        seconds: from the prompt to the end.
        tools: the calls that were executed, in order; one that failed is followed by `!`.
        said: what the user was told, or how opencode failed.
    """

    model: str
    way: str
    task: str
    done: bool
    seconds: float
    tools: list[str]
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """One model on this machine: the weights, opencode's binary, tokens of the window, seconds for a task."""

    gguf: Path
    binary: str
    window: int
    patience: float

    async def measure(self, tasks: list[Task], results: Path) -> None:
        """Do what is not among the results, and write each outcome down as it comes."""
        over = {(outcome.way, outcome.task) for outcome in _known(results, self.gguf.name)}
        console = Console(stderr=True)
        for way in WAYS:
            left = [task for task in tasks if (way, task.name) not in over]
            if not left:
                continue
            async with serving(way, self.gguf, self.window) as server:
                for task in left:
                    outcome = await asyncio.to_thread(self._attempt, way, server, task)
                    with results.open("a") as file:
                        file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
                    said = "done" if outcome.done else "not done"
                    console.print(f"{way}: {task.name}: {said}, {outcome.seconds:.0f} s")

    def _attempt(self, way: str, server: Server, task: Task) -> Outcome:
        """Have opencode do a task, in a new home and a new repository."""
        with TemporaryDirectory(prefix="rants-opencode-") as home:
            url = f"{server.address}/v1"
            limits = {"context": self.window, "output": _OUTPUT}
            client = OpenCode(self.binary, Path(home), url, "rants-one", "chat", **limits)
            subprocess.run(["git", "init", "--quiet"], cwd=client.folder, check=True)
            task.begin(client.folder)
            start = time.perf_counter()
            try:
                session = client.run(task.prompt, patience=self.patience)
            except OpenCodeFailed as error:
                session = Session(f"failed: {str(error)[:500]}", ())
            return Outcome(
                model=self.gguf.name,
                way=way,
                task=task.name,
                done=task.done(client.folder, session.text),
                seconds=round(time.perf_counter() - start, 1),
                tools=[f"{one.tool}{'' if one.status == 'completed' else '!'}" for one in session.executions],
                said=session.text,
            )


def _known(results: Path, model: str) -> list[Outcome]:
    if not results.exists():
        return []
    outcomes = [Outcome(**json.loads(line)) for line in results.read_text().splitlines()]
    return [outcome for outcome in outcomes if outcome.model == model]


def _show(model: str, tasks: list[Task], known: list[Outcome]) -> None:
    by_cell = {(outcome.task, outcome.way): outcome for outcome in known}
    table = Table(title=f"opencode with {model}", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("task")
    for way in WAYS:
        table.add_column(way)
        table.add_column("seconds", justify="right")
    for task in tasks:
        row = [task.name]
        for way in WAYS:
            outcome = by_cell[task.name, way]
            tools = ", ".join(outcome.tools[:4]) + (", ..." if len(outcome.tools) > 4 else "")
            row += [f"{'done' if outcome.done else '-'} ({tools})", f"{outcome.seconds:.0f}"]
        table.add_row(*row)
    total = ["done"]
    for way in WAYS:
        total += [f"{sum(by_cell[task.name, way].done for task in tasks)}/{len(tasks)}", ""]
    table.add_section()
    table.add_row(*total)
    Console(width=120).print(table)


def main(
    *,
    gguf: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The weights.")],
    count: Annotated[int, typer.Option(min=1, max=len(TASKS), help="How many of the tasks, from the first.")] = 10,
    results: Annotated[Path, typer.Option(help="Where outcomes are kept; what is there is not done again.")] = Path(
        "var/opencode.jsonl"
    ),
    opencode: Annotated[str, typer.Option(help="opencode's binary.")] = "opencode",
    window: Annotated[int, typer.Option(help="Tokens of the model's window.")] = 16_384,
    patience: Annotated[float, typer.Option(help="Seconds that a task may take.")] = 400.0,
) -> None:
    """Measure what is not yet known, and print a table."""
    binary = shutil.which(opencode)
    if binary is None:
        raise typer.BadParameter(f"There is no {opencode}: npm install --global opencode-ai, or name its path.")
    results.parent.mkdir(parents=True, exist_ok=True)
    tasks = list(TASKS[:count])
    bench = _Bench(gguf=gguf.absolute(), binary=binary, window=window, patience=patience)
    asyncio.run(bench.measure(tasks, results))
    _show(gguf.name, tasks, _known(results, gguf.name))


if __name__ == "__main__":
    typer.run(main)
