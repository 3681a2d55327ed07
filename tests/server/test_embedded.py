"""A fresh clone: the real server, the real embedded model, the SDK. Replies are kept short, for the model is slow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field

from evals.tasks import needle
from tests.support import MODEL, InstalledServer, ServerProcess, response_events, running

QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]


class Town(BaseModel):
    """What the model is made to fill in."""

    name: Annotated[str, Field(max_length=20)]
    country: Literal["France", "Italy"]
    large: bool


def test_a_question_is_answered_over_chat(embedded: OpenAI) -> None:
    answer = embedded.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=24, temperature=0)
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 10
    assert 0 < answer.usage.completion_tokens <= 24


def test_the_stream_and_its_response_say_the_same(embedded: OpenAI) -> None:
    with embedded.responses.with_streaming_response.create(
        model=MODEL, input=QUESTION, max_output_tokens=16, temperature=0, stream=True
    ) as answer:
        events = response_events(answer.http_response)
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 3
    whole = events[-1]["response"]
    assert "".join(deltas) == whole["output"][0]["content"][0]["text"]
    assert events[-1]["type"] == f"response.{whole['status']}"


async def test_two_questions_are_answered_at_once(embedded_server: ServerProcess) -> None:
    async with AsyncOpenAI(base_url=embedded_server.base_url, api_key="any", max_retries=0) as client:
        streams = [
            await client.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=8, stream=True)
            for _ in range(2)
        ]
        first = [chunk async for chunk in streams[1]]
        second = [chunk async for chunk in streams[0]]
    assert len(first) > 3
    assert len(second) > 3


def test_chat_parses_into_a_type(embedded: OpenAI) -> None:
    parsed = embedded.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Describe Paris as JSON."}],
        response_format=Town,
        max_tokens=200,
    )
    assert isinstance(parsed.choices[0].message.parsed, Town)


def test_responses_parse_into_a_type(embedded: OpenAI) -> None:
    parsed = embedded.responses.parse(
        model=MODEL, input="Describe Paris as JSON.", text_format=Town, max_output_tokens=200
    )
    assert isinstance(parsed.output_parsed, Town)


def test_a_schema_that_cannot_be_used_is_refused(embedded: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as failed:
        embedded.chat.completions.create(
            model=MODEL,
            messages=QUESTION,
            max_tokens=5,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}},
            },
        )
    assert failed.value.code == "backend_rejected"


def test_an_answer_that_was_cut_says_so(embedded: OpenAI) -> None:
    chat = embedded.chat.completions.create(model=MODEL, messages=QUESTION, max_completion_tokens=2)
    assert chat.choices[0].finish_reason == "length"
    assert chat.usage is not None
    assert chat.usage.completion_tokens == 2
    response = embedded.responses.create(model=MODEL, input=QUESTION, max_output_tokens=2)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stop_word_ends_the_answer_and_is_not_in_it(embedded: OpenAI) -> None:
    answer = embedded.chat.completions.create(model=MODEL, messages=QUESTION, max_tokens=24, temperature=0, stop=[" "])
    assert answer.choices[0].finish_reason == "stop"
    assert " " not in (answer.choices[0].message.content or "")


def test_the_next_turn_reads_its_prompt_from_the_cache(embedded: OpenAI) -> None:
    first = embedded.responses.create(
        model=MODEL, input="Tell me of rivers. " * 12, max_output_tokens=8, instructions="Be brief."
    )
    second = embedded.responses.create(
        model=MODEL, input="More.", previous_response_id=first.id, max_output_tokens=4, instructions="Be brief."
    )
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens_details.cached_tokens >= 0.9 * first.usage.input_tokens


@pytest.mark.slow
def test_a_number_is_found_in_one_message_of_128k_tokens_that_ends_in_its_question(tmp_path: Path) -> None:
    variables = {"RANTS_MODELS__GENERATOR__PARAMETERS__TEMPERATURE": "0"}
    task = needle.make(2, tokens=131_072, distractors=0)
    with running(tmp_path, variables, InstalledServer) as server:
        client = OpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=300)
        said = client.responses.create(model=MODEL, input=f"{task.context}\n\n{task.question}")
    assert task.answer in said.output_text
