"""Responses that another process on the same store writes, asked for here. The other process is the test itself."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response

from evals.scripted import Reply, ScriptedBackend, in_turn
from programs.events import RunDone, StepDone
from programs.transcript import Message, Transcript, Usage
from store import Finished, Run, StateSettings, Store
from tests.support import MODEL, ServerProcess, eventually, response_events

CUTS = (3, 2, -1)
TEXT = "Hello"


@pytest.fixture
async def store(server: ServerProcess) -> AsyncIterator[Store]:
    """The other process's."""
    async with await Store.open(StateSettings(sqlite_path=server.folder / "var" / "rants.sqlite3")) as store:
        yield store


@pytest.fixture
async def theirs(store: Store, async_client: AsyncOpenAI, backend: ScriptedBackend) -> str:
    """The id of a background response that the other process has begun."""
    known = await async_client.responses.create(model=MODEL, input="Hello?", background=True)
    await until_ended(async_client, known.id)
    mine = await store.run("local", known.id)
    assert mine is not None
    run_id = f"resp_{uuid.uuid4().hex}"
    transcript = Transcript(messages=(Message(role="user", content="Hello?"),))
    await store.begin(Run(run_id, "local", MODEL, 1.0, mine.request, transcript, background=True))
    return run_id


def step(run_id: str) -> StepDone:
    nothing: dict[str, Any] = {"intents": (), "calls": (), "problem": None, "reason": None}
    return StepDone(
        session=run_id, step=1, text=TEXT, finish_reason="stop", usage=Usage(), at=2.0, seconds=1.0, **nothing
    )


async def finish(store: Store, run_id: str) -> None:
    done = RunDone("completed", TEXT, Usage(prompt=1, completion=1), at=3.0)
    output = (Message(role="assistant", content=TEXT),)
    assert await store.finish("local", run_id, Finished(done, 1.0, output, (step(run_id),), CUTS))


async def until[T](look: Callable[[], Awaitable[T]], is_right: Callable[[T], object]) -> T:
    """Look again and again until it is right."""
    async with asyncio.timeout(60):
        while True:
            if is_right(seen := await look()):
                return seen
            await asyncio.sleep(0.02)


async def until_ended(client: AsyncOpenAI, response_id: str) -> Response:
    return await until(
        lambda: client.responses.retrieve(response_id), lambda seen: seen.status not in ("queued", "in_progress")
    )


async def until_asked(store: Store, run_id: str) -> None:
    """Do as a process does until it is asked to cancel the run, and cancel it."""
    await until(store.beat, lambda beat: ("local", run_id) in beat.cancelled)
    assert await store.finish("local", run_id, Finished(RunDone("cancelled", "", Usage(), at=3.0), 1.0))


async def test_it_is_read_as_far_as_it_is_written_down(async_client: AsyncOpenAI, store: Store, theirs: str) -> None:
    assert (await async_client.responses.retrieve(theirs)).status == "queued"
    await store.happened("local", theirs, 0, [step(theirs)])
    running = await async_client.responses.retrieve(theirs)
    assert (running.status, running.output_text) == ("in_progress", TEXT)
    with pytest.raises(openai.BadRequestError, match="still being written"):
        await async_client.responses.create(model=MODEL, input="And?", previous_response_id=theirs)
    await finish(store, theirs)
    assert (await async_client.responses.retrieve(theirs)).status == "completed"


async def test_it_is_cancelled_where_it_is_written(async_client: AsyncOpenAI, store: Store, theirs: str) -> None:
    asked, _ = await asyncio.gather(async_client.responses.cancel(theirs), until_asked(store, theirs))
    assert (asked.id, asked.status) == (theirs, "cancelled")


async def test_it_is_cancelled_there_before_it_is_deleted(async_client: AsyncOpenAI, store: Store, theirs: str) -> None:
    await asyncio.gather(async_client.responses.delete(theirs), until_asked(store, theirs))
    with pytest.raises(openai.NotFoundError):
        await async_client.responses.retrieve(theirs)


@pytest.mark.parametrize("after", [None, 1, 5])
def test_its_stream_waits_and_has_the_numbers_that_it_has_there(
    server: ServerProcess, http: httpx2.Client, theirs: str, after: int | None
) -> None:
    params: dict[str, Any] = {"stream": "true", **({} if after is None else {"starting_after": after})}

    async def end() -> None:
        async with await Store.open(StateSettings(sqlite_path=server.folder / "var" / "rants.sqlite3")) as other:
            await other.take_over(0.0)
            await finish(other, theirs)

    with http.stream("GET", f"/v1/responses/{theirs}", params=params) as answer:
        assert answer.status_code == 200, answer.read()
        thread = threading.Thread(target=lambda: asyncio.run(end()))
        thread.start()
        events = response_events(answer)
        thread.join()
    first = 0 if after is None else after + 1
    with http.stream("GET", f"/v1/responses/{theirs}", params={"stream": "true"}) as again:
        assert [event["type"] for event in response_events(again)[first:]] == [event["type"] for event in events]
    assert events[0]["sequence_number"] == first
    assert events[-1]["type"] == "response.completed"
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == TEXT


async def test_it_is_taken_over_when_its_process_has_left(
    async_client: AsyncOpenAI, store: Store, theirs: str, backend: ScriptedBackend
) -> None:
    await store.close()
    assert (await until_ended(async_client, theirs)).output_text == "Hello there."


async def test_a_run_that_was_taken_over_ends_here_without_a_word(
    async_client: AsyncOpenAI, store: Store, backend: ScriptedBackend
) -> None:
    backend.script = in_turn(Reply(["One, ", "two."], hold=threading.Event()))
    ours = await async_client.responses.create(model=MODEL, input="Count.", background=True)
    await until(lambda: async_client.responses.retrieve(ours.id), lambda seen: seen.output_text == "One, ")
    assert [run.id for run in await store.take_over(0.0)] == [ours.id]
    await asyncio.to_thread(eventually, lambda: backend.open == 0, within=60)
    there = await store.run("local", ours.id)
    assert there is not None
    assert there.status == "queued", "it goes on elsewhere"
    await finish(store, ours.id)
    assert (await until_ended(async_client, ours.id)).output_text == TEXT
