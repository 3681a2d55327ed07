"""Servers that start at once, for tests that start many."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.support import ServerProcess


@cache
def forks() -> ForkServerContext:
    """Processes that are forked from one in which everything is imported already: a start takes no time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["server.cli", "server.app", "server.workers", "programs.backends.openai"])
    return context


class ForkedServer(ServerProcess):
    """`rants serve` in such a process."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(folder, variables)
        self._forked: BaseProcess | None = None

    def _spawn(self) -> None:
        arguments = (str(self.folder), self.environment, str(self.log_file))
        self._forked = forks().Process(target=_serve, args=arguments, daemon=True)
        self._forked.start()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for its end; gives its exit code."""
        assert self._forked is not None
        assert self._forked.pid is not None
        if self._forked.is_alive():
            os.kill(self._forked.pid, how)
        self._forked.join(60)
        assert self._forked.exitcode is not None
        return self._forked.exitcode

    def _process_ended(self) -> bool:
        return self._forked is not None and not self._forked.is_alive()


def _serve(folder: str, environment: dict[str, str], log: str) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with open(log, "ab") as file:  # noqa: PTH123
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["rants", "serve", "--port", "0"]
    from server.cli import main

    main()
