"""How a page is made: its template, and the headers that keep what strangers wrote from doing anything in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from programs.readable import readable
from server.grants import Grant

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every answer below `/ui`: nothing runs, and nothing is fetched, that does not come from here.

`server.ui.guard` puts them there.
"""


def render(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page, or the part of one, that the template `name` makes of `values`.

    Texts are escaped, and what in them would command a terminal or turn the direction of reading is shown as it is
    written: see `programs.readable`. On a page that needs no key, `grant` is None where none was shown.
    """
    grant: Grant | None = getattr(request.state, "grant", None)
    text = _TEMPLATES.get_template(name).render(request=request, grant=grant, **values)
    return HTMLResponse(text, status)


def _shown(value: Any) -> Any:
    return readable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def date(at: float) -> Markup:
    """A time, in UTC; the page's script writes it in the reader's own zone."""
    when = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{when:%Y-%m-%dT%H:%M:%SZ}", f"{when:%Y-%m-%d %H:%M:%S}")


def duration(seconds: float | None) -> str:
    """A length of time, in the unit that fits it."""
    if seconds is None:
        return "\u2013"
    if seconds < 1:
        return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def number(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """Which part of a whole it is."""
    return f"{100 * part / whole:.0f} %" if whole else "\u2013"


def shortened(text: str, length: int) -> str:
    """The beginning of a text, of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}\u2026"


@pass_context
def link(context: Context, path: str, **query: object) -> str:
    """The URL of another page; what is None or empty is left out of its query.

    It stays with the tenant of this page, or with the one that is given as `tenant`, where that is not the key's own.
    """
    request, grant = context["request"], context["grant"]
    tenant = query.pop("tenant", None) or getattr(request.state, "whose", None)
    if grant is not None and tenant != grant.tenant:
        query["tenant"] = tenant
    asked = urlencode({name: value for name, value in query.items() if value is not None and value != ""})
    return quote(path) + (f"?{asked}" if asked else "")


_TEMPLATES = Environment(
    loader=PackageLoader("server.ui"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=_shown,
)
_TEMPLATES.filters |= {"date": date, "duration": duration, "number": number, "shortened": shortened}
_TEMPLATES.globals |= {"share": share, "link": link}
