"""`kill -9` in the middle of an exploration: it goes on where it was, and pays for nothing again that was recorded."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from evals.scripted import Reply, ScriptedBackend
from evals.tasks import Oracle, Task, depth, labels, scripted_root
from tests.support import MODEL, ServerProcess, eventually

_SLOWLY = 0.02  # seconds that each model takes, so that there is a middle


@dataclass(slots=True)
class Bench:
    """A server that explores, and the two models behind it."""

    server: ServerProcess
    root: ScriptedBackend
    sub_lm: ScriptedBackend

    @property
    def calls(self) -> tuple[int, int]:
        """How often the root LM and the sub-LM were called."""
        return len(self.root.calls), len(self.sub_lm.calls)

    def begin(self, task: Task) -> str:
        """Ask in the background; gives the response's id."""
        self.sub_lm.script = Oracle(task.gold, delay=_SLOWLY)
        with self.sdk() as client:
            asked: Any = [{"role": "user", "content": text} for text in (task.context, task.question)]
            return client.responses.create(model=MODEL, input=asked, background=True).id

    def answer(self, response_id: str) -> str:
        """Wait for the response's end; gives its text."""
        with self.sdk() as client:
            eventually(
                lambda: client.responses.retrieve(response_id).status not in ("queued", "in_progress"), within=60
            )
            response = client.responses.retrieve(response_id)
            assert response.status == "completed", response
            return response.output_text

    def sdk(self) -> OpenAI:
        return OpenAI(base_url=self.server.base_url, api_key="any", max_retries=0, timeout=60)

    def recorded(self, response_id: str) -> tuple[int, int]:
        """How many replies of the root LM and of the sub-LM are in the database."""
        kinds = [
            kind
            for (kind,) in self.server.rows("SELECT json_extract(body, '$.kind') FROM event WHERE run = ?", response_id)
        ]
        return kinds.count("code_written"), kinds.count("model_called")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with _bench(tmp_path) as bench:
        yield bench


@contextmanager
def _bench(folder: Path) -> Iterator[Bench]:
    def root_script(body: dict[str, Any]) -> Reply:
        reply = scripted_root(body)
        return Reply(reply.pieces, usage=reply.usage, first_delay=_SLOWLY)

    with ScriptedBackend(root_script) as root, ScriptedBackend(Oracle({})) as sub_lm:
        variables = {
            "RANTS_MODELS__GENERATOR__BASE_URL": root.base_url,
            "RANTS_MODELS__GENERATOR__CONTEXT_WINDOW": "32768",
            "RANTS_MODELS__SUB_LM__BASE_URL": sub_lm.base_url,
            "RANTS_MODELS__SUB_LM__MODEL": "oracle",
            "RANTS_RLM__RANTS_ONE__MODE": "explore",
            "RANTS_RLM__RANTS_ONE__MAX_DEPTH": "3",
        }
        server = ServerProcess(folder, variables)
        server.start()
        yield Bench(server, root, sub_lm)
        server.stop(signal.SIGKILL)
        assert "Traceback" not in server.log, server.log


TASKS = {"labels": labels.make(seed=1, lines=400), "depth": depth.make(seed=1, lines=20)}


def kill_and_go_on(bench: Bench, task: Task, times: int, dice: random.Random) -> None:
    """Let `times` runs of `task` each be killed at a random moment, and finish."""
    calls_before, start = bench.calls, time.monotonic()
    assert bench.answer(bench.begin(task)) == task.answer
    needed = time.monotonic() - start
    calls = [after - before for before, after in zip(calls_before, bench.calls, strict=True)]
    for _ in range(times):
        moment = dice.uniform(0, needed)
        response_id = bench.begin(task)
        time.sleep(moment)
        bench.server.stop(signal.SIGKILL)
        eventually(lambda: bench.root.open == bench.sub_lm.open == 0)
        recorded, calls_before = bench.recorded(response_id), bench.calls
        bench.server.start()
        assert bench.answer(response_id) == task.answer, f"after {moment:.3f} s"
        for made, known, before, after in zip(calls, recorded, calls_before, bench.calls, strict=True):
            assert after - before == made - known, f"after {moment:.3f} s"


def test_killed_runs_finish_and_pay_for_nothing_twice(bench: Bench) -> None:
    kill_and_go_on(bench, TASKS["depth"], 2, random.Random(1))


def test_what_a_client_waited_for_has_failed_after_a_crash(bench: Bench) -> None:
    task = TASKS["labels"]
    bench.sub_lm.script = Oracle(task.gold, delay=60)
    asked: Any = [{"role": "user", "content": text} for text in (task.context, task.question)]
    with bench.sdk() as client, client.responses.create(model=MODEL, input=asked, stream=True) as stream:
        response_id = next(event.response.id for event in stream if event.type == "response.created")
        eventually(lambda: bench.sub_lm.open)
        bench.server.stop(signal.SIGKILL)
    bench.server.start()
    with bench.sdk() as client:
        response = client.responses.retrieve(response_id)
    assert response.status == "failed"
    assert response.error is not None
    assert "The server ended" in response.error.message
    assert response.usage is not None
    assert response.usage.output_tokens > 0, "what it cost until then is told"


@pytest.mark.slow
def test_fifty_killed_runs_finish_and_pay_for_nothing_twice(bench: Bench) -> None:
    kill_and_go_on(bench, TASKS["labels"], 25, random.Random(3))
    kill_and_go_on(bench, TASKS["depth"], 25, random.Random(4))
