"""What an environment is: a sandboxed Python that holds the context and keeps its state over turns.

    async with aclosing(await jail.open(context, question="...", host=functions)) as session:
        turn = await session.execute("print(len(context))")

The code sees `context`, `question`, the host functions by their names, `SUBMIT(answer)`, which ends the turn, and the
helpers `peek`, `grep`, `search` and `chunks`. Whatever it does is an observation in a `Turn`. What is raised here is
not the code's failing but the environment's, or a host function's own error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from programs.errors import ConfigurationError, RantsError
from programs.settings import Limits
from programs.transcript import Context

HostFunction = Callable[..., Awaitable[Any]]
"""Takes and gives JSON. May run many times at once. To tell the code that it failed, raise `HostFunctionFailed`: any
other error ends the session and leaves `execute`."""

Host = Mapping[str, HostFunction]
"""Host functions by the name that the code calls. Three are known, and called with checked types:
`llm_query(str) -> str`, `llm_query_batched(list[str]) -> list[str]`, `rlm_query(str, Context) -> str`. Others get the
JSON that the code passed. Read at every turn: functions may be added between turns."""


class EnvironmentUnavailable(ConfigurationError):
    """This environment cannot run here, or its self-test failed. The message says which part."""


class EnvironmentClosed(RantsError):
    """The session was closed; open another."""


class ProtocolViolation(RantsError):
    """The guest wrote what no guest of ours writes. Its process was ended, and the session is closed."""


class HostFunctionFailed(RantsError):
    """Raised by a host function: the code sees a `RuntimeError` with this message and may go on."""


@dataclass(frozen=True, slots=True)
class GuestError:
    """What the code raised, or which limit stopped it.

    Attributes:
        name: the exception's class, or `TimeLimit`, or `EnvironmentLost`.
        message: what it says.
        traceback: through the code's own lines, ending in `name: message`; empty for a limit.
    """

    name: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one piece of code.

    Attributes:
        stdout: what it printed, as the model is shown it; where something was cut, a note says how much.
        error: why it ended early, if it did.
        submitted: whether SUBMIT was called.
        answer: what was submitted, as JSON: the value, a list where several were given, a dict where named.
        wall_seconds: how long it ran, without waiting for host functions.
        cpu_seconds: what it computed.
        fresh: what earlier turns defined is gone; the next turn starts with the context alone.
    """

    stdout: str
    error: GuestError | None = None
    submitted: bool = False
    answer: Any = None
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    fresh: bool = False


class Session(Protocol):
    """One environment with its state. One turn at a time."""

    async def execute(self, code: str, *, variables: Mapping[str, Any] | None = None) -> Turn:
        """Run `code` to its end, to SUBMIT, or to a limit.

        Args:
            code: Python, of any number of lines.
            variables: JSON values to define first.

        Raises:
            EnvironmentClosed: the session is closed.
            ProtocolViolation: the guest broke the protocol; the session is now closed.
        """
        ...

    async def aclose(self) -> None:
        """End the process and every open host call. Idempotent."""
        ...


class Environment(Protocol):
    """A kind of sandbox.

    Attributes:
        name: `jail` or `monty`.
        dialect: what the model must know of this Python, one short paragraph; empty where it is CPython.
    """

    name: str
    dialect: str

    async def start(self) -> None:
        """Prove that it works and holds, unless that is done. `open` does it too; early it saves the time.

        Raises:
            EnvironmentUnavailable: the sandbox cannot be had here, or its self-test failed.
        """
        ...

    async def open(
        self,
        context: Context,
        *,
        question: str = "",
        host: Host | None = None,
        limits: Limits | None = None,
        seed: int | None = None,
    ) -> Session:
        """A session over `context`. Close it.

        Args:
            context: what the code finds in `context`.
            question: what it finds in `question`.
            host: the functions that it may call.
            limits: what it may use.
            seed: where its `random` begins, if the environment can be told, so that a replay draws the same.

        Raises:
            EnvironmentUnavailable: the sandbox cannot be had here.
        """
        ...

    async def aclose(self) -> None:
        """End what the sandbox keeps running. Idempotent."""
        ...
