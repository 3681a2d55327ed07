"""The `openai` backend: anything that speaks OpenAI's chat completions over HTTP."""

from __future__ import annotations

import asyncio
import email.utils
import json
import math
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any
from weakref import WeakKeyDictionary

import httpx2
from dspy.lm15 import (
    AuthError,
    LM15Error,
    RateLimitError,
    Request,
    ServerError,
    StreamAssemblyError,
    TransportError,
    UnsupportedModelError,
)
from dspy.lm15 import TimeoutError as LM15TimeoutError

from programs.backends.chat import ChunkReader, chat_body, chat_error
from programs.backends.engine import AsyncEngine, StreamEvent
from programs.settings import ModelSettings, ResilienceSettings

_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_MAX_EVENT_BYTES = 64 * 2**20
_END_SECONDS = 0.1  # for a body to end after its last event; most end with it


class OpenAIEngine(AsyncEngine):
    """Streams from one `base_url`, with pooled connections, time-outs and retries.

    A failure that may pass is tried again with exponential backoff and full jitter, or after the server's own
    `Retry-After`; a request whose stream has begun is never repeated.

    Args:
        name: what the backend is called in errors, usually its role.
        settings: its entry under `models:`.
        resilience: time-outs and retries.
    """

    def __init__(self, name: str, settings: ModelSettings, resilience: ResilienceSettings) -> None:
        assert settings.base_url is not None  # noqa: S101  (ModelSettings has seen to it)
        self._name = name
        self._base_url = settings.base_url.rstrip("/")
        self._model = settings.model
        self._defaults = settings.parameters
        self._resilience = resilience
        self._headers = {"Accept": "text/event-stream"}
        if settings.api_key is not None:
            self._headers["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        # A connection pool belongs to the event loop that opened it: the server has one, a notebook may have two.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = WeakKeyDictionary()

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`.

        Raises:
            lm15.TransportError: not reached, or the connection broke.
            lm15.TimeoutError: silent for longer than allowed.
            lm15.RateLimitError, ServerError, AuthError, UnsupportedModelError, InvalidRequestError: its own refusal.
            lm15.ContextLengthError: the prompt is longer than its window.
            lm15.StreamAssemblyError: the reply was cut or is not in the protocol.
        """
        body = {**chat_body(request, self._defaults), "model": await self._model_name()}
        if "//api.openai.com/" in self._base_url and "max_tokens" in body:
            body["max_completion_tokens"] = body.pop("max_tokens")
        reader = ChunkReader(self._name)
        response = await self._open(json.dumps(body, ensure_ascii=False).encode())
        try:
            async with aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    for event in self._read(reader, chunk):
                        yield event
            yield reader.end()
        except httpx2.TimeoutException as error:
            raise self._silent() from error
        except httpx2.HTTPError as error:
            raise StreamAssemblyError(f"the reply was cut off: {_words(error)}", provider=self._name) from error
        finally:
            await response.aclose()

    async def reach(self, within: float) -> None:
        """Ask whether the server is there, by listing its models.

        Raises:
            lm15.LM15Error: why it is not usable.
        """
        await self._list_models(within)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        if client := self._clients.pop(asyncio.get_running_loop(), None):
            await client.aclose()

    async def _model_name(self) -> str:
        """The configured model, or the first one that the server lists."""
        if self._model is None:
            listed = await self._list_models(self._resilience.connect_timeout_seconds)
            if not listed:
                raise UnsupportedModelError("it lists no models: say which one in model:", provider=self._name)
            self._model = listed[0]
        return self._model

    async def _list_models(self, within: float) -> list[str]:
        try:
            response = await self._client().get(f"{self._base_url}/models", headers=self._headers, timeout=within)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TransportError(f"cannot reach {self._base_url}: {_words(error)}", provider=self._name) from error
        if response.status_code in (401, 403) or response.status_code >= 500:
            raise self._refusal(response)
        try:
            return [str(model["id"]) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            # A server without this route can still answer questions; it just cannot say which models it has.
            return []

    def _client(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            wait = self._resilience
            most = wait.max_connections
            self._clients[loop] = httpx2.AsyncClient(
                timeout=httpx2.Timeout(wait.read_timeout_seconds, connect=wait.connect_timeout_seconds),
                limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            )
        return self._clients[loop]

    async def _open(self, body: bytes) -> httpx2.Response:
        """Send until a stream begins or trying again makes no sense."""
        attempt = 0
        while True:
            try:
                return await self._send(body)
            except (TransportError, RateLimitError, ServerError) as error:
                wait = error.retry_after
                if attempt == self._resilience.max_retries or (wait or 0) > self._resilience.max_backoff_seconds:
                    raise
                if wait is None:
                    ceiling = self._resilience.backoff_seconds * 2**attempt
                    wait = random.uniform(0, min(ceiling, self._resilience.max_backoff_seconds))  # noqa: S311
                await asyncio.sleep(wait)
                attempt += 1

    async def _send(self, body: bytes) -> httpx2.Response:
        client = self._client()
        headers = {**self._headers, "Content-Type": "application/json"}
        request = client.build_request("POST", f"{self._base_url}/chat/completions", content=body, headers=headers)
        try:
            response = await client.send(request, stream=True)
        except (httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
            raise self._silent() from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise TransportError(f"cannot reach {self._base_url}: {_words(error)}", provider=self._name) from error
        if response.is_success:
            return response
        try:
            await response.aread()
        except httpx2.HTTPError as error:
            raise ServerError(f"HTTP {response.status_code}", provider=self._name) from error
        finally:
            await response.aclose()
        raise self._refusal(response)

    def _refusal(self, response: httpx2.Response) -> LM15Error:
        status = response.status_code
        try:
            said = response.json()
        except ValueError:
            said = response.text.strip()[:500]
        error = said.get("error", said) if isinstance(said, dict) else said
        message = str(error.get("message") or error) if isinstance(error, dict) else str(error)
        details: dict[str, Any] = {"provider": self._name, "status": status}
        if status in (401, 403):
            return AuthError(message or f"HTTP {status}", **details)
        if status == 404:
            return UnsupportedModelError(message or "not found", **details)
        if status == 429:
            return RateLimitError(message or "too many requests", retry_after=_retry_after(response), **details)
        if status in _MAY_PASS:
            return ServerError(message or f"HTTP {status}", retry_after=_retry_after(response), **details)
        return chat_error(error, provider=self._name, status=status)

    async def _chunks(self, response: httpx2.Response) -> AsyncGenerator[Any]:
        """The JSON of each server-sent event, or of the whole body where the server does not stream."""
        if "json" in response.headers.get("content-type", ""):
            yield self._parse(await response.aread())
            return
        pieces = response.aiter_bytes()
        async for data in _sse_data(pieces):
            if data == b"[DONE]":
                await _drain(pieces)
            else:
                yield self._parse(data)

    def _parse(self, data: bytes) -> Any:
        try:
            parsed = json.loads(data)
            if b"\\u" in data:
                json.dumps(parsed, ensure_ascii=False).encode()  # half of a surrogate pair is JSON, but no text
        except ValueError as error:
            raise StreamAssemblyError(f"not JSON: {data[:100]!r}", provider=self._name) from error
        return parsed

    def _read(self, reader: ChunkReader, chunk: Any) -> list[StreamEvent]:
        try:
            return list(reader.read(chunk))
        except (AttributeError, TypeError, ValueError) as error:
            said = json.dumps(chunk)[:100]
            raise StreamAssemblyError(f"not a chat completion chunk: {said}", provider=self._name) from error

    def _silent(self) -> LM15Error:
        allowed = self._resilience.read_timeout_seconds
        return LM15TimeoutError(f"no answer within {allowed:g} seconds", provider=self._name)


async def _sse_data(source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The `data` of each event (https://html.spec.whatwg.org/multipage/server-sent-events.html), split at any byte."""
    rest = b""
    data: list[bytes] = []
    async for piece in source:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _MAX_EVENT_BYTES:
            raise httpx2.RemoteProtocolError("an event of the stream is longer than 64 MiB")
        for line in lines:
            stripped = line.rstrip(b"\r")
            if stripped.startswith(b"data:"):
                data.append(stripped[5:].removeprefix(b" "))
            elif not stripped and data:
                yield b"\n".join(data)
                data.clear()
    # Some servers leave out the last blank line.
    if rest.startswith(b"data:"):
        data.append(rest[5:].strip())
    if data:
        yield b"\n".join(data)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read the end of a body in which nothing more is said: only then can its connection be used again."""
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in pieces:
                pass


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds to wait, from either form of the header (RFC 9110, 10.2.3)."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
