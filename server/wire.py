"""The objects of our answers, as `/openapi.json` describes them.

Where OpenAI's own types say what we send, they are used. A response also repeats its request, word for word: also tools
and options of kinds that OpenAI's types do not have yet.
"""

from __future__ import annotations

from typing import Any, Literal

from openai.types import Model
from openai.types.responses import (
    ResponseError,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseStatus,
    ResponseUsage,
)
from openai.types.responses.response_output_item import McpCall
from pydantic import BaseModel


class IncompleteDetails(BaseModel):
    """Why an answer is not whole: `max_output_tokens`, `content_filter`, or the part of the budget that is spent."""

    reason: str | None


class ResponseAnswer(BaseModel):
    """A response: what was asked, and what was answered so far."""

    id: str
    object: Literal["response"]
    status: ResponseStatus
    created_at: int
    completed_at: int | None
    model: str
    output: list[ResponseOutputMessage | ResponseFunctionToolCall | McpCall]
    usage: ResponseUsage | None
    error: ResponseError | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    previous_response_id: str | None
    metadata: dict[str, str]
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    text: dict[str, Any]
    reasoning: dict[str, Any] | None
    temperature: float
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    max_output_tokens: int | None
    max_tool_calls: int | None
    truncation: Literal["auto", "disabled"]
    background: bool
    store: bool
    service_tier: str
    safety_identifier: str | None
    prompt_cache_key: str | None
    user: str | None


class ResponseDeleted(BaseModel):
    """A response that is gone."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class InputItems(BaseModel):
    """A page of what a response was given."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ServedModel(Model):
    """A model; `context_length` is in tokens."""

    context_length: int


class Models(BaseModel):
    """All of them."""

    object: Literal["list"]
    data: list[ServedModel]
