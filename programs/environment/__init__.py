"""Where the model's code runs: a sandboxed Python that holds the context. And command lines, in their workspace."""

from programs.environment.choice import shared
from programs.environment.commands import CommandFailed, Commands, Ran
from programs.environment.interpreter import EnvironmentInterpreter
from programs.environment.jail import Jail
from programs.environment.monty import Monty
from programs.environment.protocol import (
    Environment,
    EnvironmentClosed,
    EnvironmentUnavailable,
    GuestError,
    Host,
    HostFunction,
    HostFunctionFailed,
    ProtocolViolation,
    Session,
    Turn,
)
from programs.settings import Limits
from programs.transcript import Context

__all__ = [
    "CommandFailed",
    "Commands",
    "Context",
    "Environment",
    "EnvironmentClosed",
    "EnvironmentInterpreter",
    "EnvironmentUnavailable",
    "GuestError",
    "Host",
    "HostFunction",
    "HostFunctionFailed",
    "Jail",
    "Limits",
    "Monty",
    "ProtocolViolation",
    "Ran",
    "Session",
    "Turn",
    "shared",
]
