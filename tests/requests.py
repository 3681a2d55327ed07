"""Requests as real clients send them, and the socket that they go over."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from typing import Any

from tests.support import MODEL

_PNG = "data:image/png;base64,iVBORw0KGgo="


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes over the wire; `body` is JSON until it is mutated into something else."""

    method: str
    target: str
    body: Any = None
    raw: bytes | None = None
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"), ("Accept", "*/*"))
    framed: bool = True

    @property
    def content(self) -> bytes:
        """The bytes of the body."""
        if self.raw is not None:
            return self.raw
        return b"" if self.body is None else written(self.body)

    def wire(self, host: str) -> bytes:
        """All of it."""
        headers = list(self.headers)
        if not any(name.lower() == "host" for name, _ in headers):
            headers.insert(0, ("Host", host))
        if self.framed and (self.content or self.method == "POST"):
            headers.append(("Content-Length", str(len(self.content))))
        headers.append(("Connection", "close"))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.content

    def curl(self, address: str) -> str:
        """A command that sends the same, as far as curl lets it."""
        said = " ".join(f"-H {shlex.quote(f'{name}: {value[:300]}')}" for name, value in self.headers)
        body = f" --data-binary $'{_escaped(self.content)}'" if self.content else ""
        return (
            f"curl --path-as-is -X {shlex.quote(self.method)} {said}{body} {shlex.quote(address + self.target[:2000])}"
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back; `status` 0 where the connection was closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(request: Request, address: tuple[str, int], *, within: float) -> Answered:
    """Send it over a connection of its own, and read until the answer is whole.

    Raises:
        TimeoutError: nothing came for `within` seconds.
    """
    with socket.create_connection(address, timeout=within) as connection:
        # It may be refused before all of it is there; what was said then can still be read.
        with suppress(ConnectionError):
            connection.sendall(request.wire(f"{address[0]}:{address[1]}"))
        return received(connection, request.method)


def received(connection: socket.socket, method: str = "GET") -> Answered:
    """One answer."""
    answer = HTTPResponse(connection, method=method)
    try:
        answer.begin()
        return Answered(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    except ConnectionError:
        return Answered(0, {}, b"")
    finally:
        answer.close()


class Verbatim(str):
    """JSON, or what passes for it, that is written as it is."""

    __slots__ = ()


def written(value: Any) -> bytes:
    """JSON, with `Verbatim` in it."""
    found: list[str] = []

    def mark(inner: Any) -> Any:
        if isinstance(inner, Verbatim):
            found.append(str(inner))
            return f"\x1a{len(found) - 1}\x1a"
        if isinstance(inner, dict):
            return {key: mark(item) for key, item in inner.items()}
        return [mark(item) for item in inner] if isinstance(inner, list) else inner

    text = json.dumps(mark(value))
    for index, verbatim in enumerate(found):
        text = text.replace(f'"\\u001a{index}\\u001a"', verbatim)
    return text.encode()


def _function(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"name": name, "description": f"Does {name}.", "parameters": schema}


_TOOLS = [
    _function("read", filePath={"type": "string"}, limit={"type": "number", "minimum": 0}),
    _function("bash", command={"type": "string", "pattern": "^[a-z ]+$"}, timeout={"anyOf": [{"type": "integer"}]}),
    _function("todowrite", todos={"type": "array", "items": {"type": "object", "properties": {"a": {"enum": [1]}}}}),
]
_CHAT_TOOLS = [{"type": "function", "function": tool} for tool in _TOOLS]
_RESPONSE_TOOLS: list[dict[str, Any]] = [{"type": "function", "strict": False, **tool} for tool in _TOOLS]
_SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": '{"filePath": "a.py"}'}}


def requests(kept: Sequence[str], items: Sequence[str], victims: Sequence[str]) -> list[Request]:
    """What clients send.

    Args:
        kept: ids of responses that are there.
        items: ids of items of theirs.
        victims: ids of responses that may be deleted.
    """
    system = {"role": "system", "content": "You are opencode, a coding agent. " * 20}
    user = {"role": "user", "content": "Fix the bug in a.py."}
    turn = [{"role": "assistant", "content": "", "tool_calls": [_CALL]}]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "1: print(1)"}
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": _PNG, "detail": "low"}},
    ]
    ending = {"include_usage": True}
    fitting = {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "strict": True}}
    chats: list[dict[str, Any]] = [
        {"messages": [user]},
        {"messages": [system, {**user, "name": "me"}], "stream": True, "stream_options": ending, "max_tokens": 32000},
        {"messages": [system, user], "stream": True, "tools": _CHAT_TOOLS, "tool_choice": "auto", "temperature": 0.5},
        {"messages": [system, user, *turn, result], "stream": True, "tools": _CHAT_TOOLS, "parallel_tool_calls": True},
        {"messages": [{"role": "user", "content": parts}], "max_completion_tokens": 100, "top_p": 1, "seed": 7},
        {"messages": [{"role": "developer", "content": [{"type": "text", "text": "Be short."}]}, user], "stop": ["\n"]},
        {"messages": [user], "response_format": fitting, "n": 1, "store": True, "metadata": {"a": "b"}, "user": "me"},
        {"messages": [user], "frequency_penalty": 0.1, "presence_penalty": -0.1, "logit_bias": {"50": -100}},
        {"messages": [user], "tools": _CHAT_TOOLS, "tool_choice": {"type": "function", "function": {"name": "read"}}},
    ]
    said = {"role": "user", "content": [{"type": "input_text", "text": "Fix the bug in a.py."}]}
    call = {"type": "function_call", "call_id": "call_1", "name": "read", "arguments": '{"filePath": "a.py"}'}
    output = {"type": "function_call_output", "call_id": "call_1", "output": "1: print(1)"}
    image = {"role": "user", "content": [{"type": "input_image", "image_url": _PNG, "detail": "auto"}]}
    answered = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I see."}]}
    codex_tools = [
        *_RESPONSE_TOOLS,
        {"type": "local_shell"},
        {"type": "web_search", "external_web_access": True},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "a"}},
        {"type": "namespace", "name": "files", "tools": [{"type": "function", **_function("list")}]},
    ]
    codex = {
        "instructions": "You are Codex. " * 50,
        "input": [{"type": "message", "role": "developer", "content": said["content"]}, {"type": "message", **said}],
        "tools": codex_tools,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0198-abcd",
        "client_metadata": {"x-codex-installation-id": "1"},
    }
    ours = [{"type": "mcp", "server_label": "rants", "allowed_tools": ["read"], "require_approval": "never"}]
    responses: list[dict[str, Any]] = [
        {"input": "Hello?"},
        {"input": "Hello?", "stream": True, "instructions": "Be quick.", "max_output_tokens": 50, "temperature": 1},
        {"input": [said, call, output], "store": False, "stream": True, "tools": _RESPONSE_TOOLS},
        codex,
        {**codex, "input": [said, {"type": "reasoning", "id": "rs_1", "summary": []}, call, output, answered, said]},
        {"input": "And then?", "previous_response_id": kept[0], "metadata": {"a": "b"}, "truncation": "auto"},
        {"input": [{"type": "item_reference", "id": items[0]}, said], "top_p": 0.9, "user": "me"},
        {"input": "Work.", "background": True, "store": True},
        {"input": "Work.", "background": True, "stream": True},
        {"input": [image]},
        {"input": [said], "text": {"format": {"type": "json_schema", "name": "n", "schema": _SCHEMA}}},
        {"input": [said], "tools": ours, "tool_choice": "auto", "max_tool_calls": 3},
        {"input": [said, {**output, "output": [{"type": "input_text", "text": "1"}]}], "service_tier": "auto"},
        {"input": [said], "tools": _RESPONSE_TOOLS, "tool_choice": {"type": "function", "name": "read"}},
    ]
    session = ("x-session-id", "ses_4f2a"), ("Authorization", "Bearer sk-any")
    asked = [Request("POST", "/v1/chat/completions", {"model": MODEL, **body}) for body in chats]
    asked += [Request("POST", "/v1/responses", {"model": MODEL, **body}) for body in responses]
    asked = [replace(request, headers=(*request.headers, *session)) for request in asked]
    read = [f"/v1/responses/{name}{query}" for name in kept for query in ("", "?stream=true&starting_after=2")]
    read += [f"/v1/responses/{kept[0]}/input_items?limit=5&order=asc&after={items[0]}"]
    read += [
        "/v1/models",
        f"/v1/models/{MODEL}",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/v1/no",
    ]
    asked += [Request("GET", target, headers=(("Accept", "*/*"), *session)) for target in read]
    asked += [Request("POST", f"/v1/responses/{name}/cancel") for name in kept]
    return [*asked, *(Request("DELETE", f"/v1/responses/{name}") for name in victims)]


def _escaped(content: bytes) -> str:
    shown = content[:6000]
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in shown)
    return text + (f"... ({len(content)} bytes)" if len(content) > len(shown) else "")
