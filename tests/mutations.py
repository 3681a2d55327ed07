"""What chance makes of a request; the same dice make the same of it."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.requests import Request, Verbatim, written


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
            Verbatim("1e999"),
            Verbatim("-1" + "0" * 400 + ".0"),
            Verbatim("9" * 5000),
            Verbatim("NaN"),
            Verbatim("-Infinity"),
            Verbatim('"\\ud800"'),
            Verbatim('"\\udfff\\ud800"'),
            Verbatim(_deep(dice.choice([20, 100, 150, 198, 255, 1000, 100_000]), dice)),
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
