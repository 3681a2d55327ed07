"""What a backend is told and nobody else may read: taken out of everything that is said about it."""

from __future__ import annotations

import base64
from urllib.parse import quote, unquote, urlsplit

from dspy.lm15 import LM15Error

from programs.settings import ModelSettings

_REDACTED = "[redacted]"
_SHORTEST = 8  # characters: what is shorter is a word, such as `ollama`, and no secret
_LONGEST_MESSAGE = 1000


class Secrets:
    """The key of a backend, and the user and password in its URL, in the forms in which servers repeat them."""

    def __init__(self, settings: ModelSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key is not None else ""
        found = [key, f"Bearer {key}" if key else ""]
        userinfo = _userinfo(settings.base_url or "")
        if userinfo:
            plain = unquote(userinfo)
            found += [userinfo, plain, base64.b64encode(plain.encode()).decode(), plain.partition(":")[2]]
            found.append(userinfo.partition(":")[2])
        found += [quote(secret, safe="") for secret in found]
        # The longest first: one may hold another.
        secrets = {each for each in found if len(each) >= _SHORTEST} | ({f"{userinfo}@"} if userinfo else set())
        self._secrets = sorted(secrets, key=len, reverse=True)

    def out_of(self, text: str) -> str:
        """`text` without them."""
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return text

    def clean(self, error: LM15Error) -> None:
        """Take them out of an error; and halves of characters and endless text, which a server's words may hold.

        What the error was raised from goes too: the HTTP client's exceptions hold the request's headers.
        """
        said = self.out_of(error.message).encode(errors="replace").decode().replace("\0", "")
        if len(said) > _LONGEST_MESSAGE:
            said = f"{said[:_LONGEST_MESSAGE]} ..."
        error.message = said
        error.args = (said,)
        error.__cause__ = error.__context__ = None


def _userinfo(url: str) -> str:
    """The `user:password` of a URL; empty where there is none."""
    try:
        return urlsplit(url).netloc.rpartition("@")[0]
    except ValueError:
        return ""
