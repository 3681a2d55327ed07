"""Real server processes and the clients that ask them. A start takes seconds, so a session shares them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from openai import AsyncOpenAI, OpenAI

from evals.scripted import Reply, ScriptedBackend, in_turn
from store import StateSettings
from store.database import migrate
from tests.postgres import PostgresServer, postgres_server, programs
from tests.support import InstalledServer, ServerProcess, running

HELLO = in_turn(Reply(["Hello", " there."]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what its servers have printed."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, ServerProcess):
                report.sections.append((f"log of {name}", value.log[-8000:]))
    return report


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the environment configures RANTS."""
    for name in os.environ:
        if name.startswith("RANTS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL."""
    binaries = programs()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def _migrated(postgres: PostgresServer) -> str:
    """A database that has the tables, to be copied."""
    name = postgres.database()
    migrate(StateSettings.model_validate({"url": postgres.url(name)}))
    return name


@pytest.fixture
def postgres_url(postgres: PostgresServer, _migrated: str) -> str:
    """The URL of a new database of PostgreSQL, with empty tables."""
    return postgres.url(postgres.database(_migrated))


@pytest.fixture(scope="session")
def embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server as a fresh clone has it: nothing is configured, and the embedded model answers."""
    with running(tmp_path_factory.mktemp("embedded"), {}, InstalledServer) as server:
        yield server


@pytest.fixture(scope="session")
def embedded(embedded_server: ServerProcess) -> Iterator[OpenAI]:
    """The SDK on the embedded model's server."""
    with OpenAI(base_url=embedded_server.base_url, api_key="any", max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="session")
def scripted_backend() -> Iterator[ScriptedBackend]:
    with ScriptedBackend(HELLO) as backend:
        yield backend


@pytest.fixture
def backend(scripted_backend: ScriptedBackend) -> ScriptedBackend:
    """The model behind `server` and `guarded_server`. It says hello until a test gives it another script."""
    scripted_backend.script = HELLO
    scripted_backend.requests = []
    return scripted_backend


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend) -> Iterator[ServerProcess]:
    """A server, configured by variables, whose generator is the scripted backend. It loses no time with retries."""
    variables = {
        "RANTS_MODELS__GENERATOR__BASE_URL": scripted_backend.base_url,
        "RANTS_MODELS__GENERATOR__MODEL": "scripted",
        "RANTS_MODELS__GENERATOR__API_KEY": "key-of-the-backend",
        "RANTS_RESILIENCE__BACKOFF_SECONDS": "0.05",
        "RANTS_RESILIENCE__MAX_BACKOFF_SECONDS": "2",
        "RANTS_RESILIENCE__BREAKER_FAILURES": "0",  # what one test does to the backend is not the next one's business
        "RANTS_SERVER__HEALTH_CACHE_SECONDS": "0",
        "RANTS_SERVER__READ_TIMEOUT_SECONDS": "2",
    }
    with running(tmp_path_factory.mktemp("scripted"), variables) as process:
        yield process


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    """The SDK on `server`; it does not try again by itself."""
    with OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60) as sdk:
        yield sdk


@pytest.fixture
async def async_client(server: ServerProcess) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=60) as sdk:
        yield sdk


@pytest.fixture(scope="session")
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    """`server` without the SDK, for what the SDK would not send."""
    with httpx2.Client(base_url=server.address, timeout=60) as plain:
        yield plain


TENANTS = ("alice", "bob", "carol", "dora", "emil", "fritz", "gina")
"""Each has the key `key_of(NAME)` on the guarded server, and so a bucket of its own."""


def key_of(tenant: str) -> str:
    """A tenant's key, strong enough to be taken."""
    return f"key-of-{tenant}-0123456789abcdef"


BURST = 12
"""How many requests a tenant of the guarded server has at once."""


@pytest.fixture(scope="session")
def guarded_server(
    tmp_path_factory: pytest.TempPathFactory, scripted_backend: ScriptedBackend
) -> Iterator[ServerProcess]:
    """A server, configured by a file, that asks for keys, counts, and soon loses its patience."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    config: dict[str, Any] = {
        "server": {"keep_alive_seconds": 0.1},
        "limits": {"max_request_bytes": 100_000},
        "models": {"generator": {"base_url": scripted_backend.base_url, "model": "scripted", "context_window": 8000}},
        "auth": {"enabled": True, "api_keys": [{"key": key_of(name), "tenant_id": name} for name in TENANTS]},
        "rate_limits": {"enabled": True, "requests_per_minute": 6, "burst": BURST},
        "resilience": {"read_timeout_seconds": 2, "request_timeout_seconds": 4, "breaker_failures": 0},
    }
    (folder / "guarded.yaml").write_text(yaml.safe_dump(config))
    with running(folder, {"RANTS_CONFIG": "guarded.yaml"}) as process:
        yield process


@pytest.fixture
def tenants(guarded_server: ServerProcess) -> Iterator[dict[str, OpenAI]]:
    """The SDK on the guarded server, for each tenant."""
    clients = {
        name: OpenAI(base_url=guarded_server.base_url, api_key=key_of(name), max_retries=0, timeout=60)
        for name in TENANTS
    }
    yield clients
    for sdk in clients.values():
        sdk.close()
