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

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientTimeout,
    ConnectionTimeoutError,
)
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
from programs.backends.connections import Body, Sessions, described
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
        self._sessions = Sessions(self._base_url, resilience)

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
        except TimeoutError as error:
            raise self._silent() from error
        except ClientError as error:
            raise StreamAssemblyError(f"the reply was cut off: {described(error)}", provider=self._name) from error
        finally:
            response.close()  # hangs up, unless the body has ended: then its connection is in the pool again

    async def reach(self, within: float) -> None:
        """Ask whether the server is there, by listing its models.

        Raises:
            lm15.LM15Error: why it is not usable.
        """
        await self._list_models(within)

    async def aclose(self) -> None:
        """Close this event loop's connections."""
        await self._sessions.aclose()

    async def _model_name(self) -> str:
        """The configured model, or the first one that the server lists."""
        if self._model is None:
            listed = await self._list_models(self._resilience.connect_timeout_seconds)
            if not listed:
                raise UnsupportedModelError("it lists no models: say which one in model:", provider=self._name)
            self._model = listed[0]
        return self._model

    async def _list_models(self, within: float) -> list[str]:
        session = await self._sessions.here()
        patience = ClientTimeout(total=within)
        try:
            async with session.get(
                f"{self._base_url}/models", headers=self._headers, timeout=patience, allow_redirects=False
            ) as response:
                body = await response.read()
        except (ClientError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error
        if response.status in (401, 403) or response.status >= 500:
            raise self._refusal(response, body)
        try:
            return [str(model["id"]) for model in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError):
            # A server without this route can still answer questions; it just cannot say which models it has.
            return []

    async def _open(self, body: bytes) -> ClientResponse:
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

    async def _send(self, body: bytes) -> ClientResponse:
        session = await self._sessions.here()
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            response = await session.post(
                f"{self._base_url}/chat/completions",
                data=Body(body, within=self._resilience.read_timeout_seconds),
                headers=headers,
                allow_redirects=False,
            )
        except (ClientError, TimeoutError, ValueError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, ConnectionTimeoutError):
                raise self._silent() from error
            raise self._unreachable(error) from error
        if 200 <= response.status < 300:
            return response
        try:
            refusal = await response.read()
        except (ClientError, TimeoutError) as error:
            raise ServerError(f"HTTP {response.status}", provider=self._name) from error
        finally:
            response.close()
        raise self._refusal(response, refusal)

    def _refusal(self, response: ClientResponse, body: bytes) -> LM15Error:
        status = response.status
        try:
            said = json.loads(body)
        except ValueError:
            said = body.decode(response.get_encoding(), errors="replace").strip()[:500]
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

    async def _chunks(self, response: ClientResponse) -> AsyncGenerator[Any]:
        """The JSON of each server-sent event, or of the whole body where the server does not stream."""
        if "json" in response.headers.get("content-type", ""):
            yield self._parse(await response.read())
            return
        pieces = response.content.iter_any()
        async with aclosing(_sse_data(pieces)) as events:
            async for data in events:
                if data == b"[DONE]":
                    await _drain(pieces)
                    return
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

    def _unreachable(self, error: Exception) -> LM15Error:
        return TransportError(f"cannot reach {self._base_url}: {described(error)}", provider=self._name)

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
            raise ClientPayloadError("an event of the stream is longer than 64 MiB")
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
    with suppress(TimeoutError, ClientError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in pieces:
                pass


def _retry_after(response: ClientResponse) -> float | None:
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
