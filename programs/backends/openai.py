"""The `openai` backend: anything that speaks OpenAI's chat completions over HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import (
    ClientError,
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

from programs.backends.bodies import beginning, drained, pieces, retry_after, sse_data, whole
from programs.backends.chat import ChunkReader, chat_body, chat_error
from programs.backends.connections import Body, Sessions, described
from programs.backends.engine import AsyncEngine, StreamEvent, terms
from programs.backends.secrets import Secrets
from programs.settings import ModelSettings, ResilienceSettings

_MAY_PASS = {408, 425, 429, 500, 502, 503, 504}
_MAX_REFUSAL_BYTES = 64 * 1024  # of what comes with a status that is no success: what is longer is no message
_END_SECONDS = 0.1  # for a body to end after its last event; most end with it


class OpenAIEngine(AsyncEngine):
    """Streams from one `base_url`, with pooled connections, time-outs and retries.

    A failure that may pass is tried again with exponential backoff and full jitter, or after the server's own
    `Retry-After`, unless that would take longer than the caller has; a request whose stream has begun is never
    repeated. No error tells the key.

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
        self.window = settings.context_window
        self._where = settings.where
        self._secrets = Secrets(settings)
        self._sessions = Sessions(self._base_url, resilience)

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`.

        Raises:
            lm15.TransportError: not reached, or the connection broke.
            lm15.TimeoutError: silent for longer than allowed.
            lm15.RateLimitError, ServerError, AuthError, UnsupportedModelError, InvalidRequestError: its own refusal.
            lm15.ContextLengthError: the prompt is longer than its window.
            lm15.StreamAssemblyError: the reply was cut, is not in the protocol, or is too long.
        """
        try:
            body = {**chat_body(request, self._defaults), "model": await self._model_name()}
            if "//api.openai.com/" in self._base_url and "max_tokens" in body:
                body["max_completion_tokens"] = body.pop("max_tokens")
            reader = ChunkReader(self._name, scored=request.config.logprobs is not None)
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
        except LM15Error as error:
            self._secrets.clean(error)
            raise

    async def reach(self, within: float) -> None:
        """Ask whether the server is there, by listing its models.

        Raises:
            lm15.LM15Error: why it is not usable.
        """
        try:
            await self._list_models(within)
        except LM15Error as error:
            self._secrets.clean(error)
            raise

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
                body = await whole(response, self._resilience.max_reply_bytes, name=self._name)
        except (ClientError, TimeoutError, ValueError) as error:
            raise self._unreachable(error) from error
        if response.status in (401, 403) or response.status >= 500:
            raise self._refusal(response, body)
        try:
            return [str(model["id"]) for model in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
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
                if time.monotonic() + wait >= terms().deadline:
                    raise
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
            refusal = await beginning(response, _MAX_REFUSAL_BYTES)
        except (ClientError, TimeoutError) as error:
            raise ServerError(f"HTTP {response.status}", provider=self._name) from error
        finally:
            response.close()
        raise self._refusal(response, refusal)

    def _refusal(self, response: ClientResponse, body: bytes) -> LM15Error:
        status = response.status
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = self._shown(body, 500)
        error = said.get("error", said) if isinstance(said, dict) else said
        message = str(error.get("message") or error) if isinstance(error, dict) else str(error)
        details: dict[str, Any] = {"provider": self._name, "status": status}
        if status in (401, 403):
            return AuthError(message or f"HTTP {status}", **details)
        if status == 404:
            return UnsupportedModelError(message or "not found", **details)
        if status == 429:
            return RateLimitError(message or "too many requests", retry_after=retry_after(response), **details)
        if status in _MAY_PASS:
            return ServerError(message or f"HTTP {status}", retry_after=retry_after(response), **details)
        return chat_error(error, provider=self._name, status=status)

    async def _chunks(self, response: ClientResponse) -> AsyncGenerator[Any]:
        """The JSON of each server-sent event, or of the whole body where the server does not stream."""
        if "json" in response.headers.get("content-type", ""):
            yield self._parse(await whole(response, self._resilience.max_reply_bytes, name=self._name))
            return
        async with (
            aclosing(pieces(response, self._resilience.max_reply_bytes, name=self._name)) as body,
            aclosing(sse_data(body)) as events,
        ):
            async for data in events:
                if data == b"[DONE]":
                    await drained(body)
                    return
                yield self._parse(data)

    def _parse(self, data: bytes) -> Any:
        try:
            parsed = json.loads(data)
            if b"\\u" in data:
                json.dumps(parsed, ensure_ascii=False).encode()  # half of a surrogate pair is JSON, but no text
        except (ValueError, RecursionError) as error:
            raise StreamAssemblyError(f"not JSON: {self._shown(data, 100)}", provider=self._name) from error
        return parsed

    def _read(self, reader: ChunkReader, chunk: Any) -> list[StreamEvent]:
        try:
            return list(reader.read(chunk))
        except (AttributeError, TypeError, ValueError) as error:
            said = self._shown(json.dumps(chunk).encode(), 100)
            raise StreamAssemblyError(f"not a chat completion chunk: {said}", provider=self._name) from error

    def _shown(self, data: bytes, most: int) -> str:
        """The beginning of what a server sent, for a person. A key that is cut in two would not be known again."""
        return self._secrets.out_of(data[: most + 4096].decode(errors="replace")).strip()[:most]

    def _unreachable(self, error: Exception) -> LM15Error:
        return TransportError(f"cannot reach {self._where}: {described(error)}", provider=self._name)

    def _silent(self) -> LM15Error:
        allowed = self._resilience.read_timeout_seconds
        return LM15TimeoutError(f"no answer within {allowed:g} seconds", provider=self._name)
