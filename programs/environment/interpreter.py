"""Our environments as dspy's `CodeInterpreter`, so that `dspy.RLM(interpreter_factory=...)` runs in them."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

from dspy.primitives.code_interpreter import CodeExecutionError, CodeInterpreterError, FinalOutput

from programs.environment.choice import shared
from programs.environment.protocol import (
    Environment,
    EnvironmentClosed,
    HostFunctionFailed,
    ProtocolViolation,
    Session,
)
from programs.errors import ConfigurationError
from programs.settings import Limits


class _Loop:
    """An event loop in a thread of its own, for callers that have none or must not be blocked by ours."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="environment", daemon=True)
        self._thread.start()

    def run[T](self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        # In its own thread: the caller's may be running another loop, and then no second one.
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class EnvironmentInterpreter:
    """Runs code in a session of an environment, as dspy's modules expect.

    `execution_instructions` are the jail's, and dspy reads them from the factory: give one for monty its `dialect`. In
    monty `dspy.RLM` has no sub-agents, whose facade needs more of Python.

    Args:
        environment: `"jail"`, `"monty"`, or an environment of the caller's own, who then closes it.
        tools: functions that the code may call by name; dspy adds to them. Plain ones run in threads.
        limits: of the session.
        output_fields: dspy's description of what SUBMIT takes, in order.
    """

    execution_instructions = (
        "Code runs as CPython in a sandbox without files, network or processes; the standard library is there. State"
        " persists over turns. Tools and SUBMIT are global functions."
    )

    def __init__(
        self,
        environment: Literal["jail", "monty"] | Environment = "jail",
        *,
        tools: dict[str, Callable[..., Any]] | None = None,
        limits: Limits | None = None,
        output_fields: list[dict[str, Any]] | None = None,
    ) -> None:
        self._environment: Environment = shared(environment) if isinstance(environment, str) else environment
        self.tools: dict[str, Callable[..., Any]] = dict(tools or {})
        self.output_fields = output_fields
        self._limits = limits
        self._host: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._loop: _Loop | None = None
        self._session: Session | None = None
        self._ended = False

    def start(self) -> None:
        """Open the session, unless it is open.

        Raises:
            CodeInterpreterError: the environment cannot be had, or the interpreter was shut down.
        """
        if self._ended:
            raise CodeInterpreterError("this interpreter was shut down; make another")
        if self._session is not None:
            return
        self._loop = _Loop()
        try:
            self._session = self._loop.run(self._environment.open("", host=self._host, limits=self._limits))
        except ConfigurationError as error:
            self.shutdown()
            raise CodeInterpreterError(str(error)) from error

    def execute(self, code: str, variables: dict[str, Any] | None = None) -> Any:
        """Run `code`; see dspy's `CodeInterpreter.execute`.

        Returns:
            A `FinalOutput` where SUBMIT was called, else what was printed, or None.

        Raises:
            SyntaxError: the code is not Python.
            CodeExecutionError: the code raised, or hit a limit; it may go on.
            CodeInterpreterError: the session is over.
        """
        self.start()
        assert self._loop is not None  # noqa: S101 - `start` made both
        assert self._session is not None  # noqa: S101
        self._host.clear()
        self._host.update({name: self._reached(name) for name in self.tools})
        try:
            turn = self._loop.run(self._session.execute(code, variables=variables))
        except (EnvironmentClosed, ProtocolViolation, ConfigurationError) as error:
            self.shutdown()
            raise CodeInterpreterError(str(error)) from error
        if turn.submitted:
            return FinalOutput(self._named(turn.answer))
        if turn.error is not None:
            if turn.error.name in {"SyntaxError", "IndentationError", "TabError"}:
                raise SyntaxError(turn.error.message)
            raise CodeExecutionError(
                f"{turn.stdout}{turn.error.traceback or turn.error.name + ': ' + turn.error.message}"
            )
        return turn.stdout or None

    def shutdown(self) -> None:
        """Close the session. Idempotent."""
        self._ended = True
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            if self._session is not None:
                loop.run(self._session.aclose())
        finally:
            self._session = None
            loop.close()

    def _reached(self, name: str) -> Callable[..., Awaitable[Any]]:
        """The tool `name` as a host function. It runs in the caller's context: dspy keeps its settings there."""
        context = contextvars.copy_context()

        async def call(*values: Any, **fields: Any) -> Any:
            tool = self.tools[name]
            try:
                if inspect.iscoroutinefunction(tool):
                    return await asyncio.create_task(tool(*values, **fields), context=context.copy())
                answer = await asyncio.get_running_loop().run_in_executor(
                    None, lambda: context.copy().run(tool, *values, **fields)
                )
                return await answer if inspect.isawaitable(answer) else answer
            except Exception as error:
                raise HostFunctionFailed(f"{type(error).__name__}: {error}") from error

        return call

    def _named(self, answer: Any) -> Any:
        """The answer by the names of `output_fields`, where it came by position."""
        if not self.output_fields:
            return answer
        names = [field["name"] for field in self.output_fields]
        if isinstance(answer, dict) and set(names) <= answer.keys():
            return answer
        if len(names) == 1:
            return {names[0]: answer}
        return (
            dict(zip(names, answer, strict=True)) if isinstance(answer, list) and len(answer) == len(names) else answer
        )
