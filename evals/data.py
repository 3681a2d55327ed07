"""Question data by name: a path, or a file of a dataset on the model hub, which is fetched once.

data_at("questions.jsonl")
data_at("hub:OWNER/DATASET/questions.jsonl")
data_at("hub:OWNER/DATASET@REVISION/folder/questions.jsonl")
"""

from __future__ import annotations

import re
from pathlib import Path

from programs.errors import BackendUnavailable, ConfigurationError

_ON_HUB = "hub:"
_FILE = re.compile(r"(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>[^/]+))?/(?P<file>.+)")


def data_at(name: str, *, endpoint: str | None = None) -> Path:
    """Where the data of that name is on this machine. Blocks while it is fetched.

    Args:
        name: see above. A file of the hub is kept in the cache of the hub's library (`HF_HOME`), and is not fetched
            again.
        endpoint: the hub's address; None for `HF_ENDPOINT`, else the public hub.

    Raises:
        ConfigurationError: there is no such path or file, or no leave to read it.
        BackendUnavailable: the hub cannot be reached, or fails.
    """
    if not name.startswith(_ON_HUB):
        path = Path(name)
        if not path.exists():
            raise ConfigurationError(f"--data: there is no {path}")
        return path.resolve()
    found = _FILE.fullmatch(name.removeprefix(_ON_HUB))
    if found is None:
        raise ConfigurationError(f"--data: {name} names no file: write hub:OWNER/DATASET/FILE")
    return _fetched(found["repo"], found["file"], found["revision"], endpoint)


def _fetched(repo: str, file: str, revision: str | None, endpoint: str | None) -> Path:
    # It takes a second to load, and few need it.
    from httpx2 import HTTPError  # noqa: PLC0415
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(repo, file, repo_type="dataset", revision=revision, endpoint=endpoint))
    except LocalEntryNotFoundError as error:
        raise BackendUnavailable(f"the hub cannot be reached for {repo}/{file}: {error}", backend="hub") from error
    except EntryNotFoundError as error:
        raise ConfigurationError(f"--data: the hub has no {repo}/{file}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status < 500:
            raise ConfigurationError(
                f"--data: the hub refuses {repo}/{file} (HTTP {status}): see its name, or set HF_TOKEN"
            ) from error
        raise BackendUnavailable(f"the hub answered HTTP {status} for {repo}/{file}", backend="hub") from error
    except HTTPError as error:
        raise BackendUnavailable(f"the connection for {repo}/{file} failed: {error}", backend="hub") from error
