import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evals.performance.load import Load, Reply, WrongReply, load
from evals.performance.processes import running

RANTS = Path(sys.executable).with_name("rants")


def test_the_gateway_benchmark_measures_real_servers_and_prints_its_table(tmp_path: Path) -> None:
    few = ["--requests", "20", "--rounds", "1", "--sample", "4"]
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
