"""What has to be known of browsers: they send a cookie along with whatever any page of any site has them ask."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers

from programs.errors import Forbidden
from server.gateway import is_loopback
from server.settings import Settings

SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

HOME: Final = "/ui/sessions"
"""The page where one begins."""


def is_page(path: str) -> bool:
    """Whether it is below `/ui`."""
    return path == "/ui" or path.startswith("/ui/")


def wants_page(method: str, headers: Headers) -> bool:
    """Whether a person looks at the answer, and not a script."""
    return method in SAFE and "text/html" in headers.get("accept", "")


def see_that_it_is_ours(headers: Headers, *, silent: bool = False) -> None:
    """See that a page of this server asks, and not one of another site.

    Browsers say so in `Sec-Fetch-Site`, which no script can set; where they leave that out, over plain HTTP, in
    `Origin`.
    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html

    Args:
        headers: of the request.
        silent: a request that has neither is taken for ours. Of those that read, browsers need not say where they
            come from, and other sites cannot read the answer.

    Raises:
        Forbidden: it is not, or nothing says that it is.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    elif origin is not None:
        ours = origin.lower().partition("://")[2] == headers.get("host", "").lower() != ""
    else:
        ours = silent
    if not ours:
        raise Forbidden(
            "This was not asked by a page of this server, and a login is good for these alone: the headers"
            " Sec-Fetch-Site or Origin do not say that it was. Scripts send a key: `Authorization: Bearer KEY`."
        )


def see_that_it_is_asked_here(settings: Settings, headers: Headers) -> None:
    """See that who needs no key asks by a name of this machine, where the server listens to nobody else.

    A site may have its own name lead to 127.0.0.1, and to a browser its page then is of the same origin as this server:
    it could read everything, and have tools run. Where a key is asked for, that page has none.
    https://owasp.org/www-community/attacks/DNS_Rebinding

    Raises:
        Forbidden: another name was used.
    """
    local = not settings.auth.enabled and is_loopback(settings.server.host)
    if local and not names_this_machine(headers.get("host", "")):
        raise Forbidden(
            "The header Host of the request names no address of this machine, which this server is for alone while"
            " authentication is off: ask for it at localhost or 127.0.0.1, or set auth.enabled and use a key."
        )


def names_this_machine(host: str) -> bool:
    """Whether the header `Host` says localhost, a name below it, or an address of this machine alone."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return bool(name) and (is_loopback(name) or name.endswith(".localhost"))


def inside(path: str) -> str:
    """The path, with its query, where it leads to a page of this server and nowhere else; otherwise `HOME`."""
    plain = unquote(path.partition("?")[0])
    strange = "//" in path + plain or "\\" in path + plain or not (path.isascii() and (path + plain).isprintable())
    leads_up = any(part in (".", "..") for part in plain.split("/"))
    return HOME if strange or leads_up or " " in path or not path.startswith("/ui/") else path
