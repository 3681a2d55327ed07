import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from evals.performance.load import Load, Reply, WrongReply, load
from evals.performance.loop_stub import plan
from evals.performance.peer import PeerFailed, peer
from evals.performance.processes import running, tree_memory
from evals.scripted import Reply as Scripted
from evals.scripted import ScriptedBackend, in_turn

RANTS = Path(sys.executable).with_name("rants")


@pytest.mark.slow
def test_the_gateway_benchmark_measures_real_servers_and_prints_its_table(tmp_path: Path) -> None:
    few = ["--requests", "20", "--rounds", "1", "--sample", "4", "--no-litellm"]
    others = {name: value for name, value in os.environ.items() if not name.startswith("RANTS_")}
    ended = subprocess.run(
        [RANTS, "bench", "gateway", *few], cwd=tmp_path, env=others, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    rows = [row for line in ended.stdout.splitlines() if (row := line.split())[-1:] in (["yes"], ["no"])]
    assert len(rows) == 8
    assert sum("latency," in row for row in rows) == 4
    assert sum("requests/s," in row for row in rows) == 2
    assert all(float(row[-4]) > 0 for row in rows if "requests/s," in row)
    assert list(tmp_path.iterdir()) == []  # RANTS ran in a folder of its own


@pytest.mark.slow
def test_the_loop_benchmark_has_every_peer_play_its_plans_and_prints_its_table() -> None:
    few = ["--rounds", "1", "--calls", "5", "--context", "100000", "--sessions", "3", "--no-rlms"]
    ended = subprocess.run([RANTS, "bench", "loop", *few], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    rows = [row for line in ended.stdout.splitlines() if (row := line.split())[-1:] in (["yes"], ["no"])]
    assert len(rows) == 12, ended.stdout
    # Each of the three took part in all of it, and nobody else did.
    assert all(row.count("-") == 1 for row in rows), ended.stdout
    assert all(row[-5] != "-" for row in rows), ended.stdout


async def test_a_peer_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(PeerFailed, match="No module named 'nobody'"):
        async with peer("nobody", "nobody", "http://127.0.0.1:1/v1"):
            pass
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(PeerFailed, match="uv"):
        async with peer("rlms", "rlms", "http://127.0.0.1:1/v1", requires="rlms"):
            pass


async def test_a_peer_whose_sessions_fail_says_why() -> None:
    async with peer("floor", "bare", "http://127.0.0.1:1/v1") as floor:
        with pytest.raises(PeerFailed, match="2 of 2 sessions failed: ConnectionRefusedError"):
            await floor.ask([plan(1, "look"), plan(2, "look")])


async def test_a_peer_is_asked_about_the_text_that_it_holds() -> None:
    with ScriptedBackend(in_turn(Scripted(["yes"], streamed=False))) as lm:
        async with peer("floor", "bare", lm.base_url) as floor:
            await floor.hold("ä" * 100_000)
            ran = await floor.ask([plan(1, "look")])
    assert ran.answers == ("100000",)
    assert len(lm.calls) == 1


async def test_the_scripted_lm_refuses_what_no_plan_foresees() -> None:
    async with running("from evals.performance.loop_stub import serve; serve()") as lm, httpx2.AsyncClient() as client:
        asked = await client.post(f"{lm.address}/rants/v1/chat/completions", json={"messages": [{"content": "Hello"}]})
    assert asked.status_code == 400


def test_the_memory_of_a_tree_is_that_of_its_processes() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    hold = "held = b'x' * 64_000_000; print('held', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert 64_000_000 < tree_memory(process.pid) < 128_000_000
        process.communicate("\n")


async def test_the_stub_says_the_same_streamed_and_whole() -> None:
    async with running("from evals.performance.stub import serve; serve()") as stub:
        streamed = await load(stub.port, clients=2, requests=5, stream=True)
        whole = await load(stub.port, clients=2, requests=5, stream=False)
    assert all(reply.first_token is not None and 0 < reply.first_token < reply.total for reply in streamed.replies)
    assert [reply.first_token for reply in whole.replies] == [None] * 5
    assert streamed.rate > 0


async def test_an_answer_that_is_not_the_stubs_is_not_measured() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.RaisesGroup(WrongReply):
            await load(port, clients=1, requests=1, stream=False)


def test_slowest_is_the_time_that_this_many_of_a_hundred_requests_took_at_most() -> None:
    measured = Load(tuple(Reply(total=float(number), first_token=None) for number in range(1, 101)), seconds=50.0)
    assert measured.slowest(50) == 50.0
    assert measured.slowest(99) == 99.0
    assert measured.rate == 2.0
