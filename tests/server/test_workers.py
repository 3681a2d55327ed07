"""`rants serve` with several workers: they share the address, and end together."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI

from evals.performance.processes import processes_below
from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, InstalledServer, eventually


@pytest.fixture
def server(tmp_path: Path, backend: ScriptedBackend) -> Iterator[InstalledServer]:
    variables = {"RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url, "RANTS_SERVER__WORKERS": "2"}
    process = InstalledServer(tmp_path, variables)
    process.start()
    yield process
    process.stop(signal.SIGKILL)


def workers(server: InstalledServer) -> list[int]:
    """The processes that serve."""
    found = []
    for pid in processes_below(server.pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def listens(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal."""
    (caught,) = re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_what_it_did_in_the_background_is_finished(
    server: InstalledServer, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=5, timeout=60) as client:
        running = client.responses.create(model=MODEL, input="Count.", background=True)
        eventually(lambda: backend.open == 1)
        before = workers(server)
        assert len(before) == 2
        backend.script = in_turn(Reply(["One, ", "two, ", "three."]))
        # One of the two has it; when both have been killed, another one must.
        for pid in before:
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: pid not in workers(server) and len(workers(server)) == 2, within=60)  # noqa: B023
        eventually(lambda: client.responses.retrieve(running.id).status == "completed", within=60)
        assert client.responses.retrieve(running.id).output_text == "One, two, three."


@pytest.mark.slow
def test_a_signal_ends_all_of_them_and_a_reload_reaches_all(server: InstalledServer) -> None:
    before = workers(server)
    eventually(lambda: all(listens(pid, signal.SIGHUP) for pid in before), within=60)  # one is enough to be healthy
    os.kill(server.pid, signal.SIGHUP)
    eventually(lambda: server.log.count("was reloaded") == 2, within=30)
    assert workers(server) == before
    assert httpx2.get(f"{server.address}/health/live").is_success
    assert server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)
    assert "Traceback" not in server.log


@pytest.mark.slow
def test_workers_end_with_their_parent_however_that_ends(server: InstalledServer) -> None:
    before = workers(server)
    eventually(lambda: all(listens(pid, signal.SIGHUP) for pid in before), within=60)
    assert len(before) == 2
    server.stop(signal.SIGKILL)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), within=30)
    assert "Traceback" not in server.log
