"""Requests as real clients send them, and what chance makes of them: the same seed makes the same of them."""

from __future__ import annotations

import copy
import gzip
import json
import random
import shlex
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from typing import Any

MODEL = "rants-one"
_PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABpfZFQAAAAABJRU5ErkJggg=="


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
    return send_bytes(request.wire(f"{address[0]}:{address[1]}"), request.method, address, within=within)


def send_bytes(data: bytes, method: str, address: tuple[str, int], *, within: float) -> Answered:
    """The same, of bytes as they are."""
    with socket.create_connection(address, timeout=within) as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was there; what was said then can still be read
        return received(connection, method)


def received(connection: socket.socket, method: str = "GET") -> Answered:
    """One answer."""
    answer = HTTPResponse(connection, method=method)
    try:
        answer.begin()
        return Answered(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    except (ConnectionResetError, ConnectionError):
        return Answered(0, {}, b"")
    finally:
        answer.close()


class _Verbatim(str):
    """JSON, or what passes for it, that is written as it is."""

    __slots__ = ()


def written(value: Any) -> bytes:
    """JSON, with `_Verbatim` in it."""
    found: list[str] = []

    def mark(inner: Any) -> Any:
        if isinstance(inner, _Verbatim):
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
    read += ["/v1/models", f"/v1/models/{MODEL}", "/health", "/health/live", "/health/ready", "/openapi.json", "/v1/no"]
    asked += [Request("GET", target, headers=(("Accept", "*/*"), *session)) for target in read]
    asked += [Request("POST", f"/v1/responses/{name}/cancel") for name in kept]
    return [*asked, *(Request("DELETE", f"/v1/responses/{name}") for name in victims)]


def mutated(request: Request, dice: random.Random) -> Request:
    """The request with one to three things wrong with it."""
    ways: list[Callable[[Request, random.Random], Request]] = [_headers, _target]
    if request.body is not None:
        ways += [_bytes, *[_structure] * 6]
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        way = dice.choice(ways)
        # Bytes are mutated last: then there is no structure any more.
        if way is not _structure or request.raw is None:
            request = way(request, dice)
    return request


def _deep(levels: int, dice: random.Random) -> str:
    return "[" * levels + "]" * levels if dice.random() < 0.5 else '{"a":' * levels + "1" + "}" * levels


def _value(dice: random.Random) -> Any:
    """Something that hardly any field takes."""
    return dice.choice(
        [
            None,
            True,
            0,
            -1,
            1.5,
            2**31,
            2**63,
            -(10**30),
            10**400,
            1e308,
            _Verbatim("1e999"),
            _Verbatim("-1" + "0" * 400 + ".0"),
            _Verbatim("9" * 5000),
            _Verbatim("NaN"),
            _Verbatim("-Infinity"),
            _Verbatim('"\\ud800"'),
            _Verbatim('"\\udfff\\ud800"'),
            _Verbatim(_deep(dice.choice([20, 100, 150, 198, 255, 1000, 100_000]), dice)),
            "",
            " ",
            "\x00",
            "\x01\x1b[2J\x7f",
            "\u202e\ufeff\uffff\U0010ffff",
            "../../etc/passwd",
            "'; DROP TABLE run; --",
            "%s%n{0}{{x}}",
            "TOOL_INTENT: read a.py",
            "<think>",
            "x" * dice.choice([300, 70_000]),
            "äöü🏳️‍🌈" * 50,
            "data:image/png;base64,!!",
            "resp_" + "0" * 32,
            [],
            [[]],
            {},
            {"": None},
            {"type": "object", "$ref": "#"},
            {"type": "message"},
            [None] * 1100,
            ["a", 1, {}],
            {str(number): number for number in range(1000)},
        ]
    )


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        found += _places(item, (*path, key))
    return found


def _structure(request: Request, dice: random.Random) -> Request:
    """One place of the JSON is another."""
    body = copy.deepcopy(request.body)
    if not (places := _places(body)) or dice.random() < 0.02:
        return replace(request, body=_value(dice))
    path = dice.choice(places)
    parent = body
    for key in path[:-1]:
        parent = parent[key]
    key, old = path[-1], parent[path[-1]]
    match dice.randrange(9):
        case 0 | 1 | 2:
            parent[key] = _value(dice)
        case 3:
            del parent[key]
        case 4:
            parent[key] = dice.choice([[old], {"value": old}, str(old), [old, old], {str(key): old}])
        case 5:
            parent[key] = f"{old}x" if isinstance(old, str) else -old if isinstance(old, (int, float)) else str(old)
        case 6:
            other = body
            for step in dice.choice(places):
                other = other[step] if not isinstance(other, str) else other
            parent[key] = copy.deepcopy(other)
        case 7 if isinstance(parent, list):
            parent += [copy.deepcopy(old) for _ in range(dice.choice([1, 50, 1500]))]
        case _ if isinstance(parent, dict):
            new = dice.choice(["", "\x00", "$ref", "type", "id", f"{key} ", "__proto__", "x" * 5000])
            parent[new] = parent.pop(key) if dice.random() < 0.5 else _value(dice)
    return replace(request, body=body)


def _bytes(request: Request, dice: random.Random) -> Request:
    """The body is no longer what it says it is."""
    content = bytearray(request.content)
    where = dice.randrange(len(content) + 1)
    match dice.randrange(12):
        case 0:
            for _ in range(dice.randint(1, 20)):
                if content:
                    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        case 1:
            del content[where:]
        case 2:
            where = content.find(b'"', where) + 1  # in a string, mostly
            content[where:where] = dice.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00"])
        case 3:
            content[:0] = b"\xef\xbb\xbf"
        case 4:
            content = bytearray(gzip.compress(bytes(content), mtime=0))
        case 5:
            content[:0] = b"\x1f\x8b\x08\x00"
        case 6:
            content = bytearray(request.content.decode("utf-8", "replace").encode(dice.choice(["utf-16", "utf-32-le"])))
        case 7:
            content += dice.choice([b"}", b"null", b"\n{}", b"//", bytes(content)])
        case 8:
            content = bytearray(dice.randbytes(dice.choice([1, 10, 3000])))
        case 9:
            content = bytearray(b"model=rants-one&messages=hi")
        case 10:
            twice = json.dumps(dice.choice(["model", "input", "messages", "stream"])).encode()
            content = content.replace(b"{", b"{" + twice + b": " + written(_value(dice)) + b", ", 1)
        case _:
            content = content.replace(b'"', b"'")
    return replace(request, raw=bytes(content))


def _headers(request: Request, dice: random.Random) -> Request:
    """Headers are missing, or say too much or something else."""
    headers = list(request.headers)
    match dice.randrange(6) if headers else 5:
        case 0:
            del headers[dice.randrange(len(headers))]
        case 1:
            headers.insert(0, dice.choice(headers))
        case 2:
            headers = [(name, value) for name, value in headers if name != "Content-Type"]
            kinds = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json", "/", "a/b;="]
            kinds += ["application/json; charset=utf-16", "application/vnd.x+json", "APPLICATION/JSON", "\xe4/\xf6"]
            headers.append(("Content-Type", dice.choice(kinds)))
        case 3:
            return _framing(request, dice)
        case 4:
            name = dice.choice(["x-session-id", "x-request-id", "Authorization", "x-api-key", "X", "Cookie", "Accept"])
            sizes = [0, 1, 200, 10_000, 60_000, 70_000, 300_000]
            headers.append((name, dice.choice(["a", "\xe9", "\t", "Bearer ", "%00", "\x7f"]) * dice.choice(sizes)))
        case _:
            odd = [
                ("Host", dice.choice(["", "[", "[::1", "a b", "x:99999", "x:y", "\xff", "a,b", "evil.example"])),
                ("Expect", dice.choice(["100-continue", "nothing"])),
                ("Content-Encoding", dice.choice(["gzip", "br", "identity"])),
                ("Upgrade", dice.choice(["h2c", "websocket"])),
                ("X-Forwarded-For", "1.2.3.4, \xff"),
                ("X-Forwarded-Proto", dice.choice(["https", "ftp", "\x0b"])),
                ("traceparent", dice.choice(["00-" + "f" * 32 + "-" + "0" * 16 + "-01", "x", ""])),
                ("Range", "bytes=0-1"),
                ("Origin", "http://evil.example"),
                ("Bad Name", "x"),
                ("", "x"),
                ("Folded", "a\r\n b"),
                ("Bare", "a\nb: c"),
                ("Nul", "a\x00b"),
            ]
            chosen = dice.choice(odd)
            headers.append(chosen)
            if chosen[0] == "Upgrade":
                headers.append(("Connection", "Upgrade"))
            headers += [(f"x-{number}", "y") for number in range(dice.choice([0, 0, 0, 500, 9000]))]
    return replace(request, headers=tuple(headers))


def _framing(request: Request, dice: random.Random) -> Request:
    """A body whose length is said wrongly, twice, or not at all."""
    content, length = request.content, len(request.content)
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (length, content) if length else b"0\r\n\r\n"
    te = ("Transfer-Encoding", "chunked")
    more, raw = dice.choice(
        [
            ([], content),
            ([("Content-Length", str(length + 5))], content),
            ([("Content-Length", str(max(0, length - 5)))], content),
            ([("Content-Length", "-1")], content),
            ([("Content-Length", "1e3")], content),
            ([("Content-Length", "9" * 30)], content),
            ([("Content-Length", str(length)), ("Content-Length", str(length))], content),
            ([("Content-Length", str(length)), ("Content-Length", "0")], content),
            ([te], chunked),
            ([te], content),
            ([te], chunked[:-7]),
            ([te], b"zz\r\n" + content),
            ([te], b"7fffffffffffffff\r\n" + content),
            ([te, ("Content-Length", str(length))], chunked),
            ([("Transfer-Encoding", "gzip, chunked")], chunked),
            ([("Transfer-Encoding", "identity")], content),
            ([("Transfer-Encoding", "chunked, x")], chunked),
            ([te, te], chunked),
        ]
    )
    return replace(request, headers=(*request.headers, *more), raw=raw, framed=False)


def _target(request: Request, dice: random.Random) -> Request:
    """Another path, query or method."""
    path, _, query = request.target.partition("?")
    pieces = path.split("/")
    where = dice.randrange(1, len(pieces))
    match dice.randrange(5):
        case 0:
            odd = [
                "%2F",
                "%00",
                "%ff",
                "%ED%A0%80",
                "..",
                ".",
                "",
                "%",
                "%zz",
                "a" * 5000,
                "ü",
                "\\",
                ";a=b",
                "{x}",
                " ",
            ]
            odd += ["resp_", "chatcmpl-1", "resp_" + "f" * 32, "%F0%9F%98%80", "'", "*", "resp_%0a"]
            pieces[where] = dice.choice(
                [*odd, pieces[where] + "%00", pieces[where] + "%2Fcancel", pieces[where].upper()]
            )
        case 1:
            pieces.insert(where, dice.choice(["", "..", "v1", "%2e%2e", "input_items", "cancel"]))
        case 2:
            pieces.append(dice.choice(["", "cancel", "input_items", "x"]))
        case 3:
            methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X", ""]
            return replace(request, method=dice.choice(methods))
        case _:
            names = ["limit", "order", "after", "stream", "starting_after", "include", "x"]
            values = ["", "0", "-1", "101", "5", "x", "true", "9" * 400, "1e3", "%00", "%ff", "%ED%A0%80", "a" * 9000]
            values += ["[]", "desc", "nan", "%", "\xfc", "1" * 20]
            more = [f"{dice.choice(names)}={dice.choice(values)}" for _ in range(dice.choice([1, 1, 2, 300]))]
            query = dice.choice(["&", ";", "?"]).join([*([query] if dice.random() < 0.5 else []), *more])
    return replace(request, target="/".join(pieces) + (f"?{query}" if query else ""))


def _escaped(content: bytes) -> str:
    shown = content[:6000]
    text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in shown)
    return text + (f"... ({len(content)} bytes)" if len(content) > len(shown) else "")
