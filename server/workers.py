"""The processes that serve: this one, or several workers that share its socket."""

from __future__ import annotations

import os
import signal
import socket
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from programs.errors import ConfigurationError
from server.life import LAST_WORDS_SECONDS
from server.protocol import Protocol
from server.settings import ServerSettings

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that Prometheus' client finds that folder by: see `server.metrics`."""

_ANSWERS_IN_SECONDS = 30  # a worker that does not is replaced; on a busy machine one takes some to start


def bind(settings: ServerSettings, log_level: str, log_config: dict[str, Any]) -> tuple[uvicorn.Config, socket.socket]:
    """Take the address.

    Raises:
        ConfigurationError: somebody else has it, or it is none of this machine.
    """
    protocol: Any = partial(Protocol, read_timeout=settings.read_timeout_seconds)
    config = uvicorn.Config(
        "server.app:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=protocol,
        ws="none",
        log_level=log_level,
        log_config=log_config,
        access_log=False,  # each request has a line of ours
        timeout_graceful_shutdown=int(settings.drain_seconds) + LAST_WORDS_SECONDS,
        timeout_worker_healthcheck=_ANSWERS_IN_SECONDS,
    )
    try:
        return config, config.bind_socket()
    except SystemExit as error:  # uvicorn has logged why
        raise ConfigurationError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.__context__}."
            " See --port, where 0 takes a free one, and --host."
        ) from error


def serve(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serve until a signal ends it. A worker that dies is replaced."""
    if config.workers > 1:
        # Where each worker writes what it counts, so that any of them can tell what all have counted.
        with TemporaryDirectory(prefix="rants-metrics-") as folder:
            os.environ[SHARED] = folder
            _Workers(config, sockets=[listening]).run()
    else:
        uvicorn.Server(config).run(sockets=[listening])


class _Workers(Multiprocess):
    """uvicorn's workers, which reload their settings by themselves instead of being replaced."""

    def handle_hup(self) -> None:
        """Pass the signal on."""
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)
