"""The `embedded` backend: llama.cpp inside this process. No account, no other server, no TCP port."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xllamacpp
from dspy.lm15 import InvalidRequestError, Request, TransportError

from programs.backends.catalogue import BUNDLED, resolve
from programs.backends.chat import ChunkReader, chat_body
from programs.backends.engine import AsyncEngine, StreamEvent
from programs.backends.gguf import context_length
from programs.settings import MODELS_FOLDER, ModelSettings

_LARGEST_DEFAULT_WINDOW = 16_384
# llama.cpp looks at a cancellation between batches: small ones keep that under a second on two cores, and
# cost a tenth of the reading speed.
_BATCH = 64
_PROMPT_CACHE_MIB = 512


class EmbeddedEngine(AsyncEngine):
    """Streams from weights on disk. Calls share `parallel` slots; each slot keeps the prompt it last read.

    Args:
        name: what the backend is called in errors, usually its role.
        settings: its entry under `models:`.

    Raises:
        ConfigurationError: there are no such weights, or they are not GGUF.
    """

    def __init__(self, name: str, settings: ModelSettings) -> None:
        self._name = name
        parameters = dict(settings.parameters)
        self._parallel = int(parameters.pop("parallel", 2))
        # One core is left for the rest. llama.cpp's threads wait for each other at every step: where one of them has to
        # share its core, all of them take two or three times as long.
        self._threads = int(parameters.pop("threads", max(1, (os.process_cpu_count() or 1) - 1)))
        self._defaults = parameters
        self.path = resolve(settings.model or BUNDLED, MODELS_FOLDER.expanduser())
        trained = context_length(self.path)
        self.window: int = settings.context_window or min(trained or _LARGEST_DEFAULT_WINDOW, _LARGEST_DEFAULT_WINDOW)
        self._lock = threading.Lock()
        self._server: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._pool = ThreadPoolExecutor(max_workers=self._parallel, thread_name_prefix=f"embedded-{name}")

    async def stream(self, request: Request) -> AsyncGenerator[StreamEvent]:
        """See `AsyncEngine.stream`.

        Raises:
            lm15.ContextLengthError: the prompt is longer than the window.
            lm15.InvalidRequestError: llama.cpp refuses the request, for example a schema it cannot compile.
        """
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        stopped = threading.Event()

        def hand_over(chunk: dict[str, Any] | None) -> None:
            # The loop may have closed while llama.cpp was busy; there is then nobody left to tell.
            if not loop.is_closed():
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        def on_chunk(chunk: dict[str, Any]) -> bool:
            if not stopped.is_set():
                hand_over(chunk)
            return stopped.is_set()

        def call() -> None:
            try:
                if not stopped.is_set():
                    server = self.load()
                    server.handle_chat_completions(body, on_chunk)
            except (RuntimeError, ValueError) as error:
                # What llama.cpp throws for a request it cannot use, such as a schema that it cannot compile.
                raise InvalidRequestError(str(error), provider=self._name) from error
            finally:
                hand_over(None)

        # Progress reports make llama.cpp call back, and so notice a cancellation, also while it reads the prompt.
        body = {**chat_body(request, self._defaults), "return_progress": True}
        reader = ChunkReader(self._name, scored=request.config.logprobs is not None)
        done = loop.run_in_executor(self._pool, call)
        try:
            while (chunk := await chunks.get()) is not None:
                for event in reader.read(chunk):
                    yield event
            await done
            yield reader.end()
        finally:
            stopped.set()
            done.cancel()

    def load(self) -> Any:
        """Read the weights, once; seconds for small ones. Blocks: call it off the event loop.

        Raises:
            lm15.TransportError: the file cannot be loaded.
        """
        with self._lock:
            if self._server is None:
                try:
                    self._server = xllamacpp.Server(self._params())
                except RuntimeError as error:
                    raise TransportError(f"cannot load {self.path}: {error}", provider=self._name) from error
            return self._server

    async def reach(self, within: float) -> None:
        """Load the weights if they are not yet loaded, however long that takes.

        Raises:
            lm15.TransportError: they cannot be loaded.
        """
        if self._server is None:
            await asyncio.to_thread(self.load)

    async def aclose(self) -> None:
        """Wait for calls that are running and free the memory."""
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._server = None
        if self._folder is not None:
            self._folder.cleanup()

    def _params(self) -> Any:
        params = xllamacpp.CommonParams()
        params.model.path = str(self.path)
        params.n_ctx = self.window * self._parallel
        params.n_parallel = self._parallel
        params.n_batch = params.n_ubatch = _BATCH
        params.cpuparams.n_threads = self._threads
        params.cache_ram_mib = _PROMPT_CACHE_MIB
        params.verbosity = -1
        self._folder = tempfile.TemporaryDirectory(prefix="rants-", ignore_cleanup_errors=True)
        # Left to itself it would listen on a TCP port without a key.
        params.hostnames = [str(Path(self._folder.name) / "llama.sock")]
        return params
