"""The canonical record of a session: what was said, by whom, in order. It is context C.

Everything that enters RANTS, from whichever wire, becomes a `Transcript` of `Message`s; everything that leaves is
folded from what the loop appends to it. Messages are immutable and know their content's digest, so that a store can
keep each one once however often a client sends it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from programs.content import read_content

Role = Literal["system", "developer", "user", "assistant", "tool"]
Context = str | list[dict[str, str]] | list[str]
"""Context C as an environment holds it: one text; a list of documents; or a conversation, oldest first, each message
`{"role": ..., "content": ...}`."""
FinishReason = Literal["stop", "length", "content_filter"]


class Frozen(BaseModel):
    """An immutable value; unknown fields are a bug of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolCall(Frozen):
    """One call of a tool.

    Attributes:
        id: what its result names.
        name: of the tool.
        arguments: the JSON text exactly as it was written, so that prompts stay byte-stable.
        namespace: of the tool, where it has one.
    """

    id: str
    name: str
    arguments: str
    namespace: str | None = None


class ToolIntent(Frozen):
    """What the generator wants done, in plain English, with the verbatim blocks it wrote below.

    `complete` is False when the reply ended inside a block: the block's bytes are then not all there.
    """

    text: str
    blocks: dict[str, str] = {}
    complete: bool = True


class Tool(Frozen):
    """A tool that may be called.

    Attributes:
        name: what a call names.
        description: when and how to use it, for a model.
        parameters: the JSON Schema that the arguments of a call must fit.
        namespace: what the client groups it under; a call repeats it.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    namespace: str | None = None


class Tools(Frozen):
    """What a session may do besides saying something.

    Attributes:
        client: tools that the client executes: a call of one ends the run.
        gateway: tools that RANTS executes, by what is in its `programs.tools.Registry`.
        choice: `auto` leaves it to the model; `none` offers nothing; `required` insists on a call.
        named: with `required`, the one tool that must be called; None for any.
        parallel: whether one step may make several calls.
    """

    client: tuple[Tool, ...] = ()
    gateway: tuple[Tool, ...] = ()
    choice: Literal["auto", "none", "required"] = "auto"
    named: str | None = None
    parallel: bool = True

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that may be called now. Of two that share a name the client's is meant."""
        if self.choice == "none":
            return ()
        theirs = {tool.name for tool in self.client}
        return (*self.client, *(tool for tool in self.gateway if tool.name not in theirs))


class Message(Frozen):
    """One message of the conversation, in the roles that models know natively.

    Attributes:
        role: who speaks.
        content: the text, possibly empty.
        intents: what the assistant said it wants done, which its calls were compiled from.
        tool_calls: the calls an assistant message made.
        tool_call_id: for `role="tool"`, the call that this is the result of; None where no call could be compiled, and
            the content says why.
        images: URLs (`data:` or `http(s):`) of the images that came with the text.
    """

    role: Role
    content: str = ""
    intents: tuple[ToolIntent, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    images: tuple[str, ...] = ()

    @classmethod
    def read(cls, chat: Mapping[str, Any], *, param: str = "messages", sees: bool = True) -> Self:
        """The message that `chat`, in OpenAI's chat form, says; `content` may be text, parts of it, or null.

        Args:
            chat: the message.
            param: where it stands in the request.
            sees: whether there is a backend that can look at images.

        Raises:
            InvalidRequest: it holds something that cannot be read; `param` says where it stands.
        """
        is_result = chat["role"] == "tool"
        text, images = read_content(chat.get("content"), param=f"{param}.content", sees=sees, result=is_result)
        calls = [
            ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in chat.get("tool_calls") or ()
        ]
        return cls(
            role=chat["role"],
            content=text,
            tool_calls=tuple(calls),
            tool_call_id=chat.get("tool_call_id"),
            images=images,
        )

    def said(self) -> str:
        """The message as canonical JSON: the same words give the same bytes."""
        return self.model_dump_json(exclude_defaults=True)


class Transcript(Frozen):
    """An ordered conversation. Appending gives a new transcript; what was said before is never changed."""

    messages: tuple[Message, ...] = ()

    def __len__(self) -> int:
        return len(self.messages)

    def append(self, *messages: Message) -> Self:
        """A transcript with `messages` at its end."""
        return type(self)(messages=self.messages + messages)

    @cached_property
    def asks(self) -> int:
        """The index of what the user said last; -1 where no user has spoken."""
        return next((index for index in reversed(range(len(self))) if self.messages[index].role == "user"), -1)

    @property
    def asked(self) -> str:
        """What the user said last; empty where no user has spoken."""
        return self.messages[self.asks].content if self.asks >= 0 else ""

    @cached_property
    def prefixes(self) -> tuple[bytes, ...]:
        """For each message the digest (16 bytes) of the transcript up to and with it.

        Two conversations that begin alike share these digests for as long as they are alike: this is how a request
        that sends everything again finds the session it continues.
        """
        return tuple(chain(self.messages))


EMPTY = b"\0" * 16
"""The digest of a transcript in which nothing has been said."""


def chain(messages: Iterable[Message], head: bytes = EMPTY) -> Iterator[bytes]:
    """Digest each prefix of `messages` after a transcript whose digest is `head`."""
    for message in messages:
        head = hashlib.blake2b(head + message.said().encode(), digest_size=16).digest()
        yield head


class Usage(Frozen):
    """Tokens of model calls. `cached` is the share of `prompt` that the backend did not have to read again.

    `estimated` is True where a backend reported nothing and the numbers are counted from the text.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt=self.prompt + other.prompt,
            completion=self.completion + other.completion,
            cached=self.cached + other.cached,
            estimated=self.estimated or other.estimated,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            prompt=self.prompt - other.prompt,
            completion=self.completion - other.completion,
            cached=self.cached - other.cached,
            estimated=self.estimated,
        )


class Sampling(Frozen):
    """How a reply is sampled. None leaves it to the backend's own default.

    The names and meanings are those of OpenAI's chat completions; `response_format` is its object of that name.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: dict[str, Any] | None = None


BYTES_PER_TOKEN = 4


def estimate_tokens(text: str) -> int:
    """A rough count of tokens, at four bytes each: for budgets and windows where no tokenizer is at hand."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Session:
    """One recursive level of a run.

    Attributes:
        id: its name; a child's begins with its parent's.
        transcript: what was said, up to the question that is to be answered.
        context: the text, or documents, that the question is about, beside the conversation; None where there is
            nothing but the conversation.
        parent: the session that opened it, or None.
        depth: how many sessions are above it.
        tools: what it may do besides saying something.
    """

    id: str
    transcript: Transcript
    context: Context | None = None
    parent: str | None = None
    depth: int = 0
    tools: Tools = field(default_factory=Tools)

    @classmethod
    def asking(cls, name: str, question: str, context: Context | None = None, parent: Session | None = None) -> Self:
        """A session in which nothing was said but `question`; opened by `parent`, if there is one."""
        transcript = Transcript(messages=(Message(role="user", content=question),))
        if parent is None:
            return cls(name, transcript, context)
        return cls(name, transcript, context, parent.id, parent.depth + 1)
