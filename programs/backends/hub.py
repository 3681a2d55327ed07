"""Fetches a pinned file from the model hub. Only a pull imports this: the hub's library is slow to load."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from httpx2 import HTTPError, InvalidURL, UnsupportedProtocol
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, tqdm  # type: ignore[attr-defined]
from huggingface_hub.utils.logging import set_verbosity_error

from programs.backends.catalogue import Weights
from programs.errors import BackendUnavailable, ConfigurationError

_CHUNK = 1 << 20
_HUB = "model hub"


def fetch(name: str, weights: Weights, part: Path, *, endpoint: str | None) -> None:
    """Bring the file `part` to its full size, going on from where it stands.

    Whether the bytes are the right ones is for the caller to check. A bar is drawn on standard error where
    that is a terminal.

    Args:
        name: what a person calls the weights.
        weights: the file to fetch.
        part: where to; what is there already is taken for the file's beginning.
        endpoint: the hub's address; None for `HF_ENDPOINT`, else the public hub.

    Raises:
        ConfigurationError: there is no room, no such file, no leave to read it, or another file in its place.
        BackendUnavailable: the hub cannot be reached or fails.
        OSError: the disk fails.
    """
    url = hf_hub_url(weights.repo, weights.file, revision=weights.revision, endpoint=endpoint and endpoint.rstrip("/"))
    have = part.stat().st_size if part.exists() else 0
    if have > weights.size:
        part.unlink()
        have = 0
    missing, free = weights.size - have, shutil.disk_usage(part.parent).free
    if free < missing:
        raise ConfigurationError(
            f"{name} needs {missing / 1e9:.1f} GB more in {part.parent}, where {free / 1e9:.1f} GB are free"
        )
    # The library warns each time it tries again, in the middle of its own bar.
    set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        size = get_hf_file_metadata(url).size
        if size not in (None, weights.size):
            raise ConfigurationError(
                f"{url} has {size} bytes, not the {weights.size} pinned for {name}; nothing was fetched"
            )
        # The library's own `hf_hub_download` throws away what it has when it is interrupted. This keeps it.
        with part.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=have,
                headers=build_hf_headers(),
                expected_size=weights.size,
                displayed_filename=name,
            )
    except OfflineModeIsEnabled as error:
        raise ConfigurationError(f"HF_HUB_OFFLINE is set: unset it to pull {name}") from error
    except HfHubHTTPError as error:
        _refused(url, error)
    except (InvalidURL, UnsupportedProtocol) as error:
        raise ConfigurationError(f"{url} is not an address: correct the endpoint ({error})") from error
    except HTTPError as error:
        raise BackendUnavailable(
            f"the connection for {url} failed ({error or type(error).__name__}); pull again to continue",
            backend=_HUB,
        ) from error
    except OSError as error:
        # Without a number this is the library's word that the size is wrong, and the digest will show it.
        if error.errno is not None:
            raise


def sha256(path: Path) -> str:
    """Compute the digest of a whole file, in lower-case hex. Gigabytes take seconds, so this draws a bar too.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with (
        path.open("rb") as file,
        tqdm(  # type: ignore[no-untyped-call]
            desc="checking", total=path.stat().st_size, unit="B", unit_scale=True, disable=None
        ) as bar,
    ):
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            bar.update(len(chunk))
    return digest.hexdigest()


def _refused(url: str, error: HfHubHTTPError) -> None:
    """Say what the hub's refusal means to the operator."""
    match error.response.status_code:
        case 416:  # What we have is longer than its file: the digest will show it.
            return
        case 401 | 403 as status:
            raise ConfigurationError(
                f"the hub refuses {url} (HTTP {status}): it is gated or private; set HF_TOKEN"
            ) from error
        case 404:
            raise ConfigurationError(f"the hub does not have {url} (HTTP 404): check the endpoint") from error
        case status:
            raise BackendUnavailable(
                f"the hub answered HTTP {status} for {url}; pull again later to continue", backend=_HUB
            ) from error
