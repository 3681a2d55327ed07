"""Several servers on one PostgreSQL."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import psycopg
import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from tests.support import MODEL, ServerProcess, eventually, response_events


@pytest.fixture
def replicas(tmp_path: Path, postgres_url: str, backend: ScriptedBackend) -> Iterator[list[ServerProcess]]:
    """Two servers."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": backend.base_url,
        "RANTS_STATE__URL": postgres_url,
        "RANTS_STATE__LEASE_SECONDS": "9",
    }
    with ExitStack() as stack:
        servers = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            servers.append(server := ServerProcess(folder, variables))
            stack.callback(server.stop, signal.SIGKILL)
            server.start()
        yield servers
    for server in servers:
        assert "Traceback" not in server.log, server.log
        assert postgres_url not in server.log


def sdk(server: ServerProcess) -> OpenAI:
    return OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60)


def test_a_killed_servers_response_is_finished_by_the_other_and_streamed_from_there(
    replicas: list[ServerProcess], backend: ScriptedBackend, postgres_url: str
) -> None:
    one, two = replicas
    backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
    with sdk(one) as here, sdk(two) as there:
        before = here.responses.create(model=MODEL, input="Hello?", background=True)
        eventually(lambda: here.responses.retrieve(before.id).output_text == "One, ")
        assert there.responses.retrieve(before.id).status == "queued"
        backend.script = in_turn(Reply(["One, ", "two, ", "three."]))
        url = f"{two.base_url}/responses/{before.id}?stream=true"
        with httpx2.stream("GET", url, timeout=60) as answer:
            one.stop(signal.SIGKILL)
            events = response_events(answer)
        assert [event["delta"] for event in events if "delta" in event] == ["One, ", "two, ", "three."]
        assert there.responses.retrieve(before.id).output_text == "One, two, three."
    assert len(backend.calls) == 2
    with psycopg.connect(postgres_url) as database:
        assert database.execute("SELECT count(*) FROM usage").fetchall() == [(1,)]


def test_a_response_is_cancelled_through_the_other_server(
    replicas: list[ServerProcess], backend: ScriptedBackend
) -> None:
    one, two = replicas
    backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
    with sdk(one) as here, sdk(two) as there:
        asked = here.responses.create(model=MODEL, input="Hello?", background=True)
        eventually(lambda: here.responses.retrieve(asked.id).output_text == "One, ")
        assert there.responses.cancel(asked.id).status == "cancelled"
        eventually(lambda: backend.open == 0)
        assert here.responses.retrieve(asked.id).status == "cancelled"
