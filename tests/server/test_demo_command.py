"""`rants demo`, as a newcomer starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support import eventually

pytestmark = pytest.mark.slow

_RANTS = Path(sys.executable).with_name("rants")
_WITHIN = 240.0  # seconds, on a busy machine


@contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The command, and the file of what it prints. Its folder and its variables configure something else."""
    folder.joinpath("config.yaml").write_text("models: {generator: {base_url: 'http://127.0.0.1:9/v1'}}\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RANTS_")}
    environment |= {"RANTS_AUTH__ENABLED": "true", "RANTS_SERVER__HOST": "0.0.0.0", "DISPLAY": ""}
    printed = folder / "printed"
    with printed.open("wb") as out:
        process = subprocess.Popen(
            [_RANTS, "demo", *arguments], cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield process, printed
    finally:
        process.kill()
        process.wait()


def test_the_demo_asks_and_answers_and_serves_its_page_until_it_is_interrupted(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0", "--no-open") as (process, printed):
        eventually(lambda: process.poll() is not None or "Ctrl+C" in printed.read_text(), within=_WITHIN)
        said = printed.read_text()
        page = re.search(r"(http://127\.0\.0\.1:\d+)/ui/runs/(resp_\w+)", said)
        assert page, said
        number = re.search(r"The text says: (\d{7})", said)
        assert number, said
        assert re.search(r"It answers, after \d+ seconds: .*\b" + number[1] + r"\b", said), said
        answer = httpx2.get(f"{page[1]}/v1/responses/{page[2]}").json()
        assert (answer["status"], answer["background"]) == ("completed", True)
        assert httpx2.get(page[0]).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert "The demo has ended." in printed.read_text()
        assert "Traceback" not in printed.read_text()
    with closing(sqlite3.connect(tmp_path / "var" / "demo.sqlite3")) as database:
        assert database.execute("SELECT id, status FROM run").fetchall() == [(page[2], "completed")]
    assert not (tmp_path / "var" / "rants.sqlite3").exists()


def test_a_demo_that_is_interrupted_early_says_nothing_else(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0", "--no-open") as (process, printed):
        eventually(lambda: process.poll() is not None or "/ui/runs/" in printed.read_text(), within=_WITHIN)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        last = printed.read_text().rpartition("/ui/runs/")[2]
        assert "The demo has ended." in last
        assert "not answered" not in last
        assert "Traceback" not in last


def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path, "--port", str(port), "--no-open") as (process, printed):
            assert process.wait(_WITHIN) == 1
            said = printed.read_text()
    assert f"rants: Cannot listen on 127.0.0.1:{port}" in said
    assert "--port" in said
    assert "Traceback" not in said
