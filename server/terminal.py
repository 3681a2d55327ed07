"""A run as the terminal shows it: the answer on standard output, and on standard error what is done for it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext

from rich.console import Console
from rich.markup import escape

from programs.events import CodeWritten, Event, ModelCalled, RunDone, TextDelta, Trajectory
from programs.outline import lines
from programs.readable import readable

STYLES = {
    "session_opened": "bold",
    "code_written": "cyan",
    "model_called": "magenta",
    "code_ran": "green",
    "concluded": "yellow",
    "step_done": "cyan",
    "tool_started": "magenta",
    "tool_ran": "green",
}


class Terminal:
    """Folds a run's events. With `trace` every turn is shown as it is taken, else one line that counts them.

    Args:
        console: standard error.
        trace: whether the exploration is shown.
    """

    def __init__(self, console: Console, *, trace: bool) -> None:
        self._console = console
        self._trace = trace
        self._turns = self._calls = 0

    async def show(self, events: AsyncIterator[Event]) -> None:
        """Show all of them, to the end."""
        counting = self._console.is_terminal and not self._trace
        with self._console.status("") if counting else nullcontext() as status:
            async for event in events:
                match event:
                    case TextDelta(text):
                        if status is not None:
                            status.stop()
                        sys.stdout.write(text)
                        sys.stdout.flush()
                    case RunDone(reason=str(reason)):
                        what = "The answer was cut" if event.outcome == "incomplete" else "The best answer so far"
                        self._console.print(f"\n[yellow]{what}: {reason}.[/yellow]", end="")
                    case _ if isinstance(event, Trajectory):
                        self._turns += isinstance(event, CodeWritten)
                        self._calls += isinstance(event, ModelCalled)
                        if self._trace:
                            self._tell(event)
                        elif status is not None:
                            status.update(f"{self._turns} turns, {self._calls} calls from code")
        sys.stdout.write("\n")

    def _tell(self, event: Trajectory) -> None:
        indent = "  " * event.session.count("/")
        for line in lines(event):
            self._console.print(f"{indent}{escape(readable(line))}", style=STYLES[event.kind])
