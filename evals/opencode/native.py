"""The same weights without RANTS: llama.cpp's own server, with the tool calling of the model's own chat template."""

from __future__ import annotations

import time

import xllamacpp


def serve(gguf: str, window: int, threads: int) -> None:
    """Listen on a free port of 127.0.0.1, print the address, and serve until the process is stopped.

    Args:
        gguf: the path of the weights.
        window: tokens of prompt and reply together.
        threads: that llama.cpp computes with.
    """
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = 2 * window
    params.n_parallel = 2  # opencode asks for a title beside its first turn
    params.cpuparams.n_threads = threads
    params.use_jinja = True
    params.sampling.temp = 0
    params.verbosity = -1
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)
