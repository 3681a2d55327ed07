"""One GET of a URL that somebody else wrote: from public addresses alone, bounded in size and time.

What is checked is the very address that a socket is about to connect to, for each connection that is made. So it does
not matter how a host is written, what a name resolves to the second time, or where a redirect leads.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import (
    AddrInfoType,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from programs.backends.connections import certificates, described
from programs.errors import ToolFailed

type Address = IPv4Address | IPv6Address
type Allowed = Callable[[Address], bool]

_MOST_REDIRECTS = 5
_REDIRECTS = {301, 302, 303, 307, 308}
_READ_BYTES = 1 << 16
_HEADERS = {"User-Agent": "rants", "Accept-Encoding": "gzip, deflate"}
_DECODERS = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # zlib's window bits: either header

# Public by their number, but not by what answers there.
_NOT_PUBLIC = [
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # a cloud's metadata
        "192.88.99.0/24",  # relays to 6to4
        "::/96",  # IPv4 within IPv6: compatible, mapped, translated (NAT64), 6to4, Teredo
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "2002::/16",
        "2001::/32",
        "fec0::/10",  # site-local
        "5f00::/16",  # segment routing
        "3fff::/20",  # documentation
    )
]


class FetchFailed(ToolFailed):
    """A URL could not be fetched, or must not be; the message says why, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server answered.

    Attributes:
        url: where it answered, after redirects.
        status: of HTTP; a page that says "not found" is an answer too.
        content_type: without parameters, in lower case; empty where the server says none.
        charset: what the server says of the body's text, if anything.
        body: decompressed.
    """

    url: str
    status: int
    content_type: str
    charset: str | None
    body: bytes


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be meant by it: not this machine, its network, or a cloud's own services."""
    special = address.is_multicast or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not special


def anywhere(address: Address) -> bool:
    """For URLs that the operator wrote."""
    return True


async def fetch(
    url: str,
    *,
    limit_bytes: int,
    timeout: float,  # noqa: ASYNC109 - it becomes a message
    allowed: Allowed = is_public,
    resolver: AbstractResolver | None = None,
) -> Fetched:
    """GET `url`, following a few redirects, without cookies, credentials or proxies.

    Args:
        url: `http:` or `https:`, without a user in it. Any port: which ones hold a web server is not ours to know,
            and what a GET can say elsewhere at a public address, anybody can say.
        limit_bytes: the largest body, compressed or not.
        timeout: seconds for all of it.
        allowed: whether an address may be connected to.
        resolver: what finds addresses for names; by default the operating system.

    Raises:
        FetchFailed: the URL is refused, nobody answers in time, or the body is too large.
    """
    guard = _Guard(allowed)
    tls = await asyncio.to_thread(certificates)
    connector = TCPConnector(
        socket_factory=guard.open, resolver=resolver, ssl=tls, use_dns_cache=False, force_close=True
    )
    try:
        async with (
            asyncio.timeout(timeout),
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None),
                headers=_HEADERS,
                auto_decompress=False,
            ) as session,
        ):
            return await _follow(session, _checked(url), limit_bytes)
    except TimeoutError:
        raise FetchFailed(f"{_shown(url)}: no answer within {timeout:g} s") from None
    except (ClientError, OSError, ValueError) as error:
        if guard.refused:
            where = ", ".join(guard.refused)
            raise FetchFailed(f"{_shown(url)}: {where} is not a public address, and others are not fetched") from None
        said = described(error)
        raise FetchFailed(f"{_shown(url)}: {said}") from error


class _Guard:
    """Makes the sockets, when it is known which address each one shall connect to."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self.refused: list[str] = []

    def open(self, where: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = where
        try:
            fine = self._allowed(ip_address(host))
        except ValueError:  # 127.1 and 2130706433 mean an address to the operating system
            fine = False
        if not fine:
            self.refused.append(str(host))
            raise OSError(f"{host} is refused")
        return socket.socket(family, kind, protocol)


def _shown(url: str) -> str:
    """For a message: one line of bounded length."""
    return ascii(url)[1:-1][:200]


def _checked(url: str | URL, base: URL | None = None) -> URL:
    try:
        parsed = URL(url)
        if base is not None:
            parsed = base.join(parsed)
        has_user = parsed.user is not None or parsed.password is not None
        host = parsed.host
    except ValueError as error:
        raise FetchFailed(f"{_shown(str(url))} is not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not host:
        raise FetchFailed(f"{_shown(str(url))} is not a URL that begins with http:// or https:// and names a host")
    if has_user:
        raise FetchFailed("a URL with a user or a password in it is not fetched")
    return parsed


async def _follow(session: ClientSession, url: URL, limit_bytes: int) -> Fetched:
    for _ in range(_MOST_REDIRECTS + 1):
        async with session.get(url, allow_redirects=False) as response:
            target = response.headers.get("Location")
            if response.status not in _REDIRECTS or target is None:
                body = await _body(response, limit_bytes)
                said = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return Fetched(str(url), response.status, said, response.charset, body)
        url = _checked(target, url)
    raise FetchFailed(f"{url}: more than {_MOST_REDIRECTS} redirects")


async def _body(response: ClientResponse, limit_bytes: int) -> bytes:
    body = bytearray()
    async for part in _decompressed(response, limit_bytes):
        body += part
        if len(body) > limit_bytes:
            raise FetchFailed(f"{response.url}: it is larger than {limit_bytes:,} bytes")
    return bytes(body)


async def _decompressed(response: ClientResponse, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body in parts that a small compressed one cannot make large."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    parts = response.content.iter_chunked(_READ_BYTES)
    if encoding in {"identity", ""}:
        async for part in parts:
            yield part
        return
    if encoding not in _DECODERS:
        raise FetchFailed(f"{response.url}: it is compressed as {_shown(encoding)}, which was not asked for")
    decoder = zlib.decompressobj(_DECODERS[encoding])
    received = 0
    try:
        async for part in parts:
            received += len(part)
            if received > limit_bytes:
                raise FetchFailed(f"{response.url}: it is larger than {limit_bytes:,} bytes")
            rest = part
            while rest and not decoder.eof:
                yield decoder.decompress(rest, _READ_BYTES)
                rest = decoder.unconsumed_tail
        yield decoder.flush(_READ_BYTES)
    except zlib.error as error:
        raise FetchFailed(f"{response.url}: its compression is broken ({error})") from None
    if not decoder.eof:
        raise FetchFailed(f"{response.url}: it was cut off")
