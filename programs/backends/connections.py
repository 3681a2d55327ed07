"""HTTP connections to one model server: pooled, bounded in number and in patience, and closed with their event loop."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncGenerator, Callable
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
from aiohttp import (
    ClientConnectorError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientRequest,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    NonHttpUrlClientError,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.payload import BytesIOPayload

from programs.settings import ResilienceSettings

_IDLE_SECONDS = 4.0  # less than the five after which many servers close an idle connection
_MAX_HEADER_BYTES = 64 * 1024


class Sessions:
    """The connections to the server at `base_url`: a session for each event loop that asks.

    A session belongs to the loop that opened it: the server has one, a notebook may have two. It lives in a generator,
    because a loop closes the generators that it has started: each when it is forgotten, and all when the loop ends.
    """

    def __init__(self, base_url: str, resilience: ResilienceSettings) -> None:
        self._base_url = base_url
        self._resilience = resilience
        # Reading certificates takes a while: now, and not when a loop has other things to do.
        self._tls = certificates() if base_url.startswith("https:") else True
        self._open: dict[asyncio.AbstractEventLoop, tuple[ClientSession, AsyncGenerator[ClientSession]]] = {}

    async def here(self) -> ClientSession:
        """The session of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._open:
            for ended in [other for other in self._open if other.is_closed()]:
                del self._open[ended]
            owner = _session(self._base_url, self._resilience, self._tls)
            self._open[loop] = await anext(owner), owner
        return self._open[loop][0]

    async def aclose(self) -> None:
        """Close the session of the running loop."""
        if opened := self._open.pop(asyncio.get_running_loop(), None):
            await opened[1].aclose()


async def _session(
    base_url: str, resilience: ResilienceSettings, tls: ssl.SSLContext | bool
) -> AsyncGenerator[ClientSession]:
    patience = ClientTimeout(
        total=None,
        connect=resilience.read_timeout_seconds,  # the wait for a free connection; `_Pool` bounds the connecting
        sock_read=resilience.read_timeout_seconds,
    )
    async with ClientSession(
        connector=_Pool(resilience, tls),
        timeout=patience,
        cookie_jar=DummyCookieJar(),
        proxy=_proxy(base_url),
        max_field_size=_MAX_HEADER_BYTES,
    ) as session:
        yield session


class Body(BytesIOPayload):
    """The body of a request. A server that does not take all of it within `within` seconds is silent too."""

    def __init__(self, body: bytes, *, within: float) -> None:
        super().__init__(io.BytesIO(body))
        self._within = within

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """See `aiohttp.payload.Payload`."""
        transport = writer.transport if isinstance(writer, StreamWriter) else None
        try:
            async with asyncio.timeout(self._within):
                await super().write_with_length(writer, content_length)
        except BaseException:
            if transport is not None:
                transport.abort()  # to close it would be to wait until the server has taken what is on its way
            raise


class _Pool(TCPConnector):
    """Connections to one server, made within `connect_timeout_seconds`: name, all its addresses, proxy and TLS."""

    def __init__(self, resilience: ResilienceSettings, tls: ssl.SSLContext | bool) -> None:
        super().__init__(limit=resilience.max_connections, keepalive_timeout=_IDLE_SECONDS, ssl=tls)
        make: Callable[..., ResponseHandler] = _Protocol
        self._factory = partial(make, loop=self._loop)
        self._within = resilience.connect_timeout_seconds

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: Any,
        timeout: ClientTimeout,  # noqa: ASYNC109 - so it is called
    ) -> ResponseHandler:
        async with asyncio.timeout(self._within):
            return await super()._create_connection(req, traces, timeout)


class _Protocol(ResponseHandler):
    """One connection. What breaks HTTP in the middle of a body also reaches whoever reads that body.

    aiohttp 3.14 tells only who waits for a head, and the reader of the body would wait for ever.
    """

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        body = self._payload
        super().data_received(data)
        if body is not None and not body.is_eof() and isinstance(error := self.exception(), HttpProcessingError):
            body.set_exception(ClientPayloadError(error.message), error)


@cache
def certificates() -> ssl.SSLContext:
    """Whom to trust: the operating system's authorities, also where Python does not find them by itself."""
    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _proxy(url: str) -> str | None:
    """The proxy for `url` by the environment's HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

    aiohttp's own `trust_env` asks for them in a thread at each call, and reads .netrc too.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None  # the call itself says what is wrong with it
    if proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def described(error: Exception) -> str:
    """What went wrong, for a person: one line, never empty."""
    match error:
        case ClientConnectorError():
            said = str(error.os_error)
        case ClientHttpProxyError():
            said = f"the proxy answers {error.status} {error.message}"
        case ClientResponseError():
            said = error.message
        case InvalidURL() | NonHttpUrlClientError():
            said = f"not the URL of an HTTP server: {error}"
        case ServerDisconnectedError():
            said = "it closed the connection without an answer"
        case _:
            said = str(error)
    return " ".join(said.split())[:300] or type(error).__name__
