"""A run as the terminal shows it: the answer on standard output, and on standard error what is done for it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext

from rich.console import Console
from rich.markup import escape

from programs.events import CodeRan, CodeWritten, Concluded, Event, ModelCalled, RunDone, SessionOpened, TextDelta

_SHOWN = 600  # characters of what a call or an observation said


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
                    case SessionOpened() | CodeWritten() | ModelCalled() | CodeRan() | Concluded():
                        self._turns += isinstance(event, CodeWritten)
                        self._calls += isinstance(event, ModelCalled)
                        if self._trace:
                            self._tell(event)
                        elif status is not None:
                            status.update(f"{self._turns} turns, {self._calls} calls from code")
        sys.stdout.write("\n")

    def _tell(self, event: SessionOpened | CodeWritten | ModelCalled | CodeRan | Concluded) -> None:
        match event:
            case SessionOpened():
                self._line(event.session, "bold", f"{event.question}\n{event.context}")
            case CodeWritten():
                self._line(event.session, "dim", f"turn {event.turn}: {event.reasoning}")
                self._line(event.session, "cyan", event.code)
            case ModelCalled():
                reply = event.reply if event.reply is not None else f"failed: {event.error}"
                self._line(event.session, "magenta", f"asked: {_short(event.prompt)}\nsaid: {_short(reply)}")
            case CodeRan():
                self._line(event.session, "green", _short(event.answer or event.observation))
            case Concluded():
                self._line(event.session, "yellow", f"concluded, for {event.reason}")

    def _line(self, session: str, style: str, text: str) -> None:
        indent = "  " * (session.count("/") + 1)
        for line in text.splitlines():
            self._console.print(f"{indent}[{style}]{escape(line)}[/{style}]")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} [...] {text[-_SHOWN // 2 :]}"
