"""The server that clients bring their tools to: both its models are scripted, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evals.scripted import ScriptedBackend
from tests.clients.support import COMPILER, Play, Turn
from tests.support import ServerProcess, running


@pytest.fixture(scope="session")
def tool_server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server whose generator and tool compiler are the scripted backend."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__TOOL_COMPILER__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__TOOL_COMPILER__MODEL": COMPILER,
        "RANTS_RESILIENCE__BACKOFF_SECONDS": "0.05",
        "RANTS_RESILIENCE__MAX_BACKOFF_SECONDS": "2",
    }
    with running(tmp_path_factory.mktemp("tools"), variables) as process:
        yield process


@pytest.fixture
def play(backend: ScriptedBackend) -> Callable[..., Play]:
    """Gives the models their words: `play(Turn(...), Turn(...))`."""

    def begin(*turns: Turn) -> Play:
        backend.script = script = Play(*turns)
        return script

    return begin


@pytest.fixture
def embedded_compiler(tmp_path: Path, backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server whose generator is the scripted backend, and whose tool compiler is the embedded model."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__TOOL_COMPILER__PROVIDER": "embedded",
    }
    folder = tmp_path / "server"
    folder.mkdir()
    with running(folder, variables) as process:
        yield process
