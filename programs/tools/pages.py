"""HTML to markdown or text. Run as a script, in a process of its own: `pages.py (markdown|text) URL CHARSET`.

A page from anywhere can take any time and memory to parse, and a thread could not be stopped. So the server runs this
file with the page on its standard input, limits of time and memory, and on Linux no right but to compute.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from urllib.parse import urljoin

_SECONDS = 30
_MEMORY = 1 << 30
_DEPTH = 50_000  # how deep elements may lie in elements
_NOT_TEXT = ("script", "style", "noscript", "template", "svg", "iframe", "object", "canvas", "head")


class NotConverted(Exception):
    """A page was too much to convert."""


async def convert(html: bytes, form: str, url: str, charset: str | None) -> str:
    """The markdown or the text of a page.

    Args:
        html: the page.
        form: `markdown` or `text`.
        url: of the page, which its links are relative to.
        charset: of the page, where the server said so.

    Raises:
        NotConverted: it takes too long, or too much memory.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", __file__, form, url, charset or "", stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}
    )
    try:
        async with asyncio.timeout(_SECONDS):
            converted, _ = await process.communicate(html)
    except TimeoutError:
        raise NotConverted(f"it takes more than {_SECONDS} s to convert") from None
    finally:
        if process.returncode is None:
            process.kill()
            await asyncio.shield(asyncio.create_task(process.communicate()))
    if process.returncode != 0:
        raise NotConverted("it is too large or too deep to convert")
    return converted.decode()


def _main(form: str, url: str, charset: str) -> None:
    # Here and not above: the server that imports this file does not need them.
    from bs4 import BeautifulSoup  # noqa: PLC0415
    from bs4.dammit import EncodingDetector  # noqa: PLC0415
    from markdownify import MarkdownConverter  # noqa: PLC0415

    html = sys.stdin.buffer.read()
    for name in (charset, EncodingDetector.find_declared_encoding(html, is_html=True), "windows-1252"):
        with contextlib.suppress(LookupError):
            codecs.lookup(name or "utf-8")  # loaded now: soon no file can be opened
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    sys.setrecursionlimit(_DEPTH)
    if sys.platform == "linux":
        _give_up_all_but_computing()
    soup = BeautifulSoup(html, "lxml", from_encoding=charset or None)
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    for element in soup(_NOT_TEXT):
        element.decompose()
    if form == "text":
        lines = (" ".join(line.split()) for line in soup.get_text("\n").splitlines())
        body = "\n".join(line for line in lines if line)
        heading = title
    else:
        for name, attribute in (("a", "href"), ("img", "src")):
            for element in soup(name):
                _make_absolute(element, attribute, url)
        body = MarkdownConverter(heading_style="ATX", bullets="-").convert_soup(soup)
        body = "\n".join(_without_gaps(body.splitlines())).strip()
        heading = f"# {title}"
    if title and title not in body[: 2 * len(title) + 100]:
        body = f"{heading}\n\n{body}"
    rest = body.encode(errors="replace")
    while rest:  # not by `sys.stdout`, which wants to know where in a file it is
        rest = rest[os.write(1, rest) :]


def _give_up_all_but_computing() -> None:
    """As a guest of the jail does. The parser is native code, and the page is whose ever."""
    sys.path.append(str(Path(__file__).parents[1] / "environment"))
    from inside import lockdown  # type: ignore[import-not-found]  # noqa: PLC0415

    lockdown.lock_down(
        memory=_MEMORY,
        threads=1,
        descriptors=16,
        namespaces=False,
        program=lockdown.seccomp_program(),
        landlock=lockdown.landlock_version(),
    )


def _make_absolute(element: object, attribute: str, url: str) -> None:
    """Make a link lead somewhere without its page; what is no address, or a whole file, is dropped."""
    from bs4 import Tag  # noqa: PLC0415

    if isinstance(element, Tag) and attribute in element.attrs:
        try:
            target = urljoin(url, str(element[attribute]))
        except ValueError:
            target = ""
        if target.startswith(("http:", "https:", "mailto:")):
            element[attribute] = target
        else:
            del element[attribute]


def _without_gaps(lines: list[str]) -> list[str]:
    """The lines, with at most one empty one between two others."""
    kept: list[str] = []
    for line in (line.rstrip() for line in lines):
        if line or (kept and kept[-1]):
            kept.append(line)
    return kept


if __name__ == "__main__":
    _main(*sys.argv[1:])
