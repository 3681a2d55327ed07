"""Question data is found on the disk, or fetched once from a hub that speaks the real one's protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.data import data_at
from programs.backends.catalogue import Weights
from programs.errors import BackendUnavailable, ConfigurationError
from tests.hub import Hub

CONTENT = b'{"question": "Who?", "label": "human being"}\n'
REVISION = "a" * 40
FILE = f"hub:some/questions@{REVISION}/data/train.jsonl"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """With a dataset of one file, and a cache that is empty."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(CONTENT).hexdigest()
    there = Weights("some/questions", "data/train.jsonl", REVISION, digest, len(CONTENT), 1, "MIT", "questions")
    with Hub(there, CONTENT) as hub:
        yield hub


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.jsonl").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    assert data_at("data.jsonl") == tmp_path / "data.jsonl"
    with pytest.raises(ConfigurationError, match=r"--data: there is no other.jsonl"):
        data_at("other.jsonl")


def test_a_file_of_the_hub_is_fetched_once(hub: Hub) -> None:
    path = data_at(FILE, endpoint=hub.endpoint)
    assert path.read_bytes() == CONTENT
    fetched = len(hub.ranges)
    assert data_at(FILE, endpoint=hub.endpoint) == path
    assert len(hub.ranges) == fetched == 1


def test_what_the_hub_does_not_have_or_give_is_told(hub: Hub) -> None:
    with pytest.raises(ConfigurationError, match=r"the hub has no some/questions/other.jsonl"):
        data_at("hub:some/questions/other.jsonl", endpoint=hub.endpoint)
    with pytest.raises(ConfigurationError, match=r"write hub:OWNER/DATASET/FILE"):
        data_at("hub:questions.jsonl", endpoint=hub.endpoint)
    hub.token = "secret"
    with pytest.raises(ConfigurationError, match=r"the hub refuses some/questions/data/train.jsonl"):
        data_at(FILE, endpoint=hub.endpoint)


def test_a_hub_that_is_out_of_reach_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)  # it tries for half a minute
    with pytest.raises(BackendUnavailable, match=r"some/questions/data/train.jsonl"):
        data_at(FILE, endpoint="http://127.0.0.1:9")
