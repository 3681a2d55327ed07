"""The processes that serve: this one, or several workers that share its socket."""

from __future__ import annotations

import os
import signal
import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

from server.life import LAST_WORDS_SECONDS
from server.settings import ServerSettings

_ANSWERS_IN_SECONDS = 30  # a worker that does not is replaced; on a busy machine one takes some to start


def bind(settings: ServerSettings, log_level: str) -> tuple[uvicorn.Config, socket.socket]:
    """Take the address."""
    config = uvicorn.Config(
        "server.app:app",
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level=log_level,
        timeout_graceful_shutdown=int(settings.drain_seconds) + LAST_WORDS_SECONDS,
        timeout_worker_healthcheck=_ANSWERS_IN_SECONDS,
    )
    return config, config.bind_socket()


def serve(config: uvicorn.Config, listening: socket.socket) -> None:
    """Serve until a signal ends it. A worker that dies is replaced."""
    if config.workers > 1:
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
