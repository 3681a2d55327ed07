"""What the tests of strategies, of the meter and of the cache have in common: a task, a model, and programs for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from evals.scripted import Reply, ScriptedBackend, usage
from evals.tasks import Task
from programs import Backends
from programs.settings import ModelSettings, ModelsSettings, ResilienceSettings

FILLER = "The grey heron stood in the shallows until the tide had gone.\n"
NEEDLE = "The code of the blue door is 4711.\n"
TASK = Task(f"{FILLER * 400}{NEEDLE}{FILLER * 400}", "What is the code of the blue door?", "4711")
SHORT = Task(f"{FILLER}{NEEDLE}{FILLER}", TASK.question, TASK.answer)
WINDOW = 4000  # tokens: a third of what the task takes


def prompt(body: dict[str, Any]) -> str:
    """What the last message of a call says."""
    return str(body["messages"][-1]["content"])


def answers(body: dict[str, Any]) -> Reply:
    """A model that gives the code where it sees it."""
    return Reply(["4711" if NEEDLE in prompt(body) else "unknown"], usage=usage(100, 5, 20))


@asynccontextmanager
async def backends(server: ScriptedBackend, window: int | None = WINDOW) -> AsyncIterator[Backends]:
    """The server as the model of every role."""
    entry = ModelSettings(base_url=server.base_url, model="scripted", context_window=window)
    models = Backends(ModelsSettings(generator=entry), ResilienceSettings(max_retries=0))
    try:
        yield models
    finally:
        await models.aclose()


# --- models that write code, for every loop the same: two turns, and in the first of them sub-calls in one batch


SUB = "Which code is in this line? "
_LOOK = (
    "lines = [line for line in context.splitlines() if 'code' in line]\n"
    f"codes = llm_query_batched([{SUB!r} + line for line in lines] * 2)\n"
    "print(codes)"
)
_DONE = "SUBMIT(codes[0])"


def sub_lm(body: dict[str, Any]) -> Reply | None:
    """The reply to a sub-call; two that are alike have different ones."""
    return Reply(["4711"], usage=usage(30, 3)) if prompt(body).startswith(SUB) else None


def writes(wrapped: Callable[[str], str], turn: Callable[[dict[str, Any]], int]) -> Callable[[dict[str, Any]], Reply]:
    """The script of a root LM and its sub-LM.

    Args:
        wrapped: how code is written.
        turn: which turn a call is for, from 0.
    """

    def script(body: dict[str, Any]) -> Reply:
        code = _DONE if turn(body) else _LOOK
        return sub_lm(body) or Reply([wrapped(code)], usage=usage(200, 20, 50))

    return script


explores = writes(
    lambda code: f"```python\n{code}\n```", lambda body: int("print(codes)" in str(body["messages"][-2:]))
)
"""For RANTS."""

dspy_writes = writes(
    lambda code: (
        f"[[ ## reasoning ## ]]\nI run code.\n\n[[ ## code ## ]]\n```python\n{code}\n```\n\n[[ ## completed ## ]]"
    ),
    lambda body: int("[[ ## iteration ## ]]\n2/" in prompt(body)),
)
"""For `dspy.RLM`."""

rlms_writes = writes(
    lambda code: f"```repl\n{code.replace(_DONE, 'answer = {"content": codes[0], "ready": True}')}\n```",
    lambda body: int("print(codes)" in str(body["messages"])),
)
"""For `rlms`."""
