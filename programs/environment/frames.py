"""Reading what a guest writes. Every byte is hostile: its size is bounded before it is read, then its shape."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from programs.environment.protocol import ProtocolViolation

_PARSED_ON_THE_LOOP = 1 << 18  # bytes; longer frames would hold up everybody else


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Ready(_Frame):
    """The guest is locked down and waits for its first turn."""

    kind: Literal["ready"]


class Failed(_Frame):
    """The guest could not be locked down."""

    kind: Literal["failed"]
    message: str


class Call(_Frame):
    """The code calls a host function."""

    kind: Literal["call"]
    id: int
    name: str
    values: list[Any]
    fields: dict[str, Any]


class Raised(_Frame):
    """How an exception is told."""

    name: Annotated[str, Field(max_length=200)]
    message: Annotated[str, Field(max_length=2000)]
    traceback: Annotated[str, Field(max_length=5000)]


class Submitted(_Frame):
    """The arguments of SUBMIT."""

    values: list[Any]
    fields: dict[str, Any]


class Result(_Frame):
    """The turn is over."""

    kind: Literal["result"]
    turn: int
    head: str
    tail: str
    cut: Annotated[int, Field(ge=0)]
    error: Raised | None
    submitted: Submitted | None


Frame = Annotated[Ready | Failed | Call | Result, Field(discriminator="kind")]
_frame: TypeAdapter[Ready | Failed | Call | Result] = TypeAdapter(Frame)


class GuestGone(Exception):
    """The guest's end of the socket is closed."""


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        raise GuestGone from None


async def read_size(reader: asyncio.StreamReader, longest: int) -> int:
    """The length of the next frame, in bytes.

    Raises:
        ProtocolViolation: it is longer than `longest`.
        GuestGone: the process ended.
    """
    size: int = struct.unpack(">I", await _exactly(reader, 4))[0]
    if size > longest:
        raise ProtocolViolation(f"the guest announced a frame of {size:,} bytes; at most {longest:,} are read")
    return size


async def read_frame(reader: asyncio.StreamReader, size: int) -> Ready | Failed | Call | Result:
    """The next frame, of `size` bytes.

    Raises:
        ProtocolViolation: it is none of the four.
        GuestGone: the process ended.
    """
    body = await _exactly(reader, size)
    try:
        if size <= _PARSED_ON_THE_LOOP:
            return _frame.validate_json(body)
        return await asyncio.to_thread(_frame.validate_json, body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ProtocolViolation(f"the guest wrote a frame that is none: {first['msg']}") from None


def written(frame: Mapping[str, Any]) -> bytes:
    """A frame for the guest.

    Raises:
        TypeError: a value in it is not JSON.
    """
    body = json.dumps(frame).encode()
    return struct.pack(">I", len(body)) + body
