"""A client of chat completions that has a conversation: what the model calls is executed, until it has answered."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from typing import Any

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessage
from openai.types.chat import ChatCompletionMessageFunctionToolCall as FunctionCall

from evals.turns.conversation import Scenario
from evals.turns.desk import TOOLS, Desk, Refused
from evals.turns.results import Played
from programs.errors import BackendUnavailable, ConfigurationError
from programs.schemas import problem

MOST_REPLIES = 8
"""Of the model to one message; the conversation is over then."""

_MOST_TOKENS = 1024  # of one reply: a model that cannot stop is not worth more
_TOOLS: Any = [{"type": "function", "function": tool.model_dump(exclude_none=True)} for tool in TOOLS]
_SCHEMAS = {tool.name: tool.parameters for tool in TOOLS}


async def play(scenario: Scenario, client: AsyncOpenAI, model: str, side: str, name: str) -> Played:
    """Have a conversation.

    Args:
        scenario: of which.
        client: of the server.
        model: what it is asked for.
        side: for the result.
        name: of the model, for the result.

    Raises:
        BackendUnavailable: nobody listens there.
        ConfigurationError: the key or the model is refused.
    """
    table = _Table(deepcopy(scenario.begin), client, model)
    table.messages.append({"role": "system", "content": scenario.system})
    missing: list[str] = []
    failure = None
    start = time.perf_counter()
    for message in scenario.messages:
        said = ""
        if failure is None:
            table.messages.append({"role": "user", "content": message.text})
            try:
                said = await table.answer()
            except _Over as error:
                failure = str(error)
        missing += [str(fact) for fact in message.facts if not fact.is_in(said)]
    state = table.desk.state() == scenario.end
    return Played(
        side=side,
        model=name,
        seed=scenario.seed,
        right=state and not missing,
        state=state,
        missing=tuple(missing),
        calls=table.calls,
        invalid=table.invalid,
        replies=table.replies,
        seconds=round(time.perf_counter() - start, 3),
        failure=failure,
        messages=tuple(table.messages),
    )


class _Over(Exception):
    """The conversation cannot go on; the message says why."""


class _Table:
    """Where the model and the desk meet."""

    def __init__(self, desk: Desk, client: AsyncOpenAI, model: str) -> None:
        self.desk = desk
        self.messages: list[Any] = []
        self.calls = self.invalid = self.replies = 0
        self._client = client
        self._model = model

    async def answer(self) -> str:
        """All that the model says until it calls nothing more.

        Raises:
            _Over: it calls for ever, or the server refuses or fails.
            BackendUnavailable, ConfigurationError: there is no server, or it refuses whatever is asked.
        """
        said = []
        for _ in range(MOST_REPLIES):
            message = await self._reply()
            self.replies += 1
            said.append(message.content or "")
            calls = [call for call in message.tool_calls or () if isinstance(call, FunctionCall)]
            told: dict[str, Any] = {"role": "assistant", "content": message.content or ""}
            if calls:
                told["tool_calls"] = [call.model_dump() for call in calls]
            self.messages.append(told)
            if not calls:
                return "\n".join(said)
            for call in calls:
                result = self._execute(call.function.name, call.function.arguments)
                self.messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
        raise _Over(f"no answer after {MOST_REPLIES} replies")

    async def _reply(self) -> ChatCompletionMessage:
        try:
            completion = await self._client.chat.completions.create(
                model=self._model, messages=self.messages, tools=_TOOLS, max_completion_tokens=_MOST_TOKENS
            )
        except openai.APITimeoutError as error:
            raise _Over("the server did not answer in time") from error
        except openai.APIConnectionError as error:
            url = str(self._client.base_url)
            raise BackendUnavailable(f"nobody listens at {url}: {error}", backend=url) from error
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise ConfigurationError(f"{self._client.base_url}: {error.message}: see --api-key and --model") from error
        except openai.APIError as error:
            raise _Over(f"the server failed: {error.message}") from error
        return completion.choices[0].message

    def _execute(self, name: str, written: str) -> dict[str, Any]:
        """What comes of a call; an error is told to the model, as a tool would."""
        self.calls += 1
        try:
            arguments = _fitting(name, written)
        except ValueError as error:
            self.invalid += 1
            return {"error": str(error)}
        try:
            return self.desk.call(name, arguments)
        except Refused as error:
            return {"error": str(error)}


def _fitting(name: str, written: str) -> dict[str, Any]:
    """The arguments of a call.

    Raises:
        ValueError: there is no such tool, or they do not fit its schema.
    """
    if name not in _SCHEMAS:
        raise ValueError(f"there is no tool {name!r}")
    arguments: dict[str, Any] = json.loads(written)
    if reason := problem(arguments, _SCHEMAS[name]):
        raise ValueError(reason)
    return arguments
